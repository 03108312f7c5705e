//! What can go wrong in a store.

/// What can go wrong in the store, as far as a caller can act on it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The lease ended or was taken over; the write changed nothing.
    #[error("the lease on {what} was lost to another worker")]
    LeaseLost {
        /// What had been leased.
        what: String,
    },
    /// No such tenant.
    #[error("there is no tenant `{0}`; `muster tenant list` shows all")]
    NoTenant(String),
    /// A tenant with this id or slug exists already.
    #[error("a tenant with the {field} `{value}` exists already")]
    TenantExists {
        /// `id` or `slug`.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// More tags than a tenant may have.
    #[error("the tenant `{tenant}` would have {tags} tags; at most {max} are kept", max = muster_model::TAGS_MAX)]
    ManyTags {
        /// Its slug.
        tenant: String,
        /// How many there would be.
        tags: usize,
    },
    /// The tenant was offboarded: nothing of it can be changed any more.
    #[error(
        "the tenant `{0}` was offboarded; `muster tenant add` or `muster tenant invite` begins anew with it"
    )]
    Offboarded(String),
    /// The store is sealed with a master key that is not at hand.
    #[error(
        "the store {store} is sealed with the master key named {wanted}, but at hand is only {at_hand}: put the key \
         {wanted} back from the copy that is kept apart from the store, as a line of the master key file"
    )]
    WrongMasterKey {
        /// The store: its path or its URL.
        store: String,
        /// The name of the key that is wanted.
        wanted: String,
        /// The names of those at hand.
        at_hand: String,
    },
    /// The disk is full.
    #[error(
        "the disk that holds the store is full ({store}): free space; nothing accepted is lost, fetching goes on then"
    )]
    DiskFull {
        /// The store: its path or its URL.
        store: String,
    },
    /// The disk has space and no room for another file.
    #[error(
        "the disk that holds the store has no inodes left ({store}): delete files there, however small; nothing accepted is \
         lost, fetching goes on then"
    )]
    NoInodes {
        /// The store: its path or its URL.
        store: String,
    },
    /// The disk can only be read.
    #[error(
        "the store cannot be written ({store}): {detail}. Mount its disk for writing, or let the user that Muster runs as \
         write there; nothing accepted is lost, fetching goes on then"
    )]
    ReadOnly {
        /// The store: its path or its URL.
        store: String,
        /// What the database said.
        detail: String,
    },
    /// The disk answers with errors. The store itself may be whole.
    #[error(
        "the disk that holds the store fails ({store}): {detail}. Look at the disk, its cable or its network (`dmesg`); the \
         store itself may well be whole, so do not put a backup back yet"
    )]
    DiskFails {
        /// The store: its path or its URL.
        store: String,
        /// What the database said.
        detail: String,
    },
    /// The file, its folder or its mount is not there any more.
    #[error(
        "the store is not there any more ({store}): {detail}. Was its file system unmounted, or the file moved? Bring it \
         back and start again"
    )]
    Gone {
        /// The store: its path or its URL.
        store: String,
        /// What the database said.
        detail: String,
    },
    /// Another process holds the database.
    #[error("the store is locked by another process ({store}): stop it, or wait until it is done")]
    Locked {
        /// The store: its path or its URL.
        store: String,
    },
    /// This user may not write a file or folder of the store.
    #[error(
        "the store needs to write {path} ({detail}): let the user that Muster runs as own it, with `chown`"
    )]
    NotWritable {
        /// The file or folder.
        path: String,
        /// What the system said.
        detail: String,
    },
    /// The database is damaged, or is none.
    #[error("the store is damaged or is not a Muster database ({store}): {detail}; restore it from a backup")]
    Damaged {
        /// The store: its path or its URL.
        store: String,
        /// What the database said.
        detail: String,
    },
    /// It was written by a later version of Muster.
    #[error(
        "the store was written by a later version of Muster ({store}): install that version or a newer one"
    )]
    TooNew {
        /// The store: its path or its URL.
        store: String,
    },
    /// Its contents are elsewhere now.
    #[error(
        "the store was moved ({store}): it is {to} now, and what runs on both delivers twice. Name that one in `[store]`; \
         delete this one when you need it no more"
    )]
    Moved {
        /// The store: its path or its URL.
        store: String,
        /// Where it went.
        to: String,
    },
    /// Its contents are on their way.
    #[error(
        "the move of the store from {from} to {to} is not done: run the same `muster store migrate` again, which goes on \
         where it stopped, or `muster store migrate --abandon` with the same `--from` to stay there"
    )]
    Moving {
        /// Where from.
        from: String,
        /// Where to.
        to: String,
    },
    /// A store cannot be moved, or not there.
    #[error("the store was not moved: {0}")]
    NotMoved(String),
    /// A sealed value cannot be opened.
    #[error("cannot open sealed data of {what}: {source}")]
    Sealing {
        /// What it was about.
        what: String,
        /// Why.
        source: crate::SealingError,
    },
    /// The database cannot be reached, or the connection to it broke.
    #[error(
        "the store's database does not answer ({store}): {detail}. Nothing accepted is lost, and work goes on as soon as it \
         answers; look whether it runs and can be reached from here (`pg_isready`)"
    )]
    Unreachable {
        /// Its URL.
        store: String,
        /// What was met.
        detail: String,
    },
    /// The database does not let this user in, or not do what is needed.
    #[error(
        "the store's database refuses ({store}): {detail}. Look at `[store]` in the settings and at the user's rights"
    )]
    Refused {
        /// Its URL.
        store: String,
        /// What the database said.
        detail: String,
    },
    /// A statement took too long.
    #[error(
        "the store's database is too slow ({store}): it was given up to {doing}. Look what it is busy with \
         (`pg_stat_activity`), or raise `statement_timeout` in `[store]`"
    )]
    Slow {
        /// Its URL.
        store: String,
        /// What was being done.
        doing: &'static str,
    },
    /// The clocks of this machine and of the database differ.
    #[error(
        "this machine's clock is {seconds} seconds from that of the store's database: set both by NTP (`timedatectl`, `chronyc`); \
         until then this node takes no work, and others do it"
    )]
    ClockApart {
        /// How far this one is ahead; negative where it is behind.
        seconds: i64,
    },
    /// This kind of store cannot do that.
    #[error("a store in PostgreSQL is not {what} by Muster: {instead}")]
    NotByThisEngine {
        /// What was asked for.
        what: &'static str,
        /// What to do.
        instead: String,
    },
    /// Anything else the database said.
    #[error("the store failed to {doing}: {detail}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What the database said.
        detail: String,
    },
}

impl StoreError {
    /// Whether it is the store's own state, for which all work fails and not this alone.
    pub fn is_of_all_work(&self) -> bool {
        matches!(
            self,
            Self::DiskFull { .. }
                | Self::NoInodes { .. }
                | Self::ReadOnly { .. }
                | Self::DiskFails { .. }
                | Self::Gone { .. }
                | Self::Locked { .. }
                | Self::NotWritable { .. }
                | Self::Damaged { .. }
                | Self::Unreachable { .. }
                | Self::Refused { .. }
                | Self::Slow { .. }
                | Self::ClockApart { .. }
        )
    }

    /// Whether the disk, or what lies on it, is to blame: opening the store anew mends nothing.
    #[must_use]
    pub fn is_of_the_disk(&self) -> bool {
        self.is_of_all_work() && !matches!(self, Self::Locked { .. })
    }
}
