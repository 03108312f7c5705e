//! Starting the receivers, and what is asked of them while they run.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fault::{ReceiverFault, ReceiverName, lock};
use super::hec::{self, DoubledEvents, Hec};
use super::ingest::{self, Ingest, IngestTally};
use super::produced::Produced;
use super::syslog;
use super::tally::{Double, Ledger, ProducedIndex, ReceiverTally};
use super::tokens::HecTokenTally;
use super::wire::{self, FaultSeen, accept_connections};

/// Which receivers to start, and where.
#[derive(Clone, Default)]
pub struct ReceiversConfig {
    /// The Splunk HTTP Event Collector.
    pub hec: Option<HecConfig>,
    /// Syslog.
    pub syslog: Option<SyslogConfig>,
    /// Where Azure Monitor's data collection rule listens; port 0 takes a free one.
    pub ingest: Option<SocketAddr>,
}

/// Where the Splunk HTTP Event Collector listens, and how it answers.
#[derive(Clone)]
pub struct HecConfig {
    /// Its address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The token it takes; [`Receivers::add_hec_token`] adds more.
    pub token: String,
    /// Whether the token has indexer acknowledgement turned on.
    pub acknowledge: bool,
    /// HTTPS instead of HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// Where the syslog receivers listen; port 0 takes a free one.
#[derive(Clone, Default)]
pub struct SyslogConfig {
    /// Syslog over UDP.
    pub udp: Option<SocketAddr>,
    /// Syslog over TCP.
    pub tcp: Option<SocketAddr>,
    /// Syslog over TLS.
    pub tls: Option<(SocketAddr, Arc<rustls::ServerConfig>)>,
}

/// Why the receivers could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartReceiverError {
    /// Another program listens there.
    #[error("start receiver {receiver}: port in use: {address}")]
    PortInUse {
        /// The receiver.
        receiver: ReceiverName,
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// The address cannot be listened on for another reason.
    #[error("start receiver {receiver}: listen on {address}")]
    Listen {
        /// The receiver.
        receiver: ReceiverName,
        /// Where it was to listen.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

/// The running receivers. They end with [`Receivers::stop`], or when this is dropped.
pub struct Receivers {
    running: Vec<Receiver>,
    hec: Option<Arc<Hec>>,
    ingest: Option<Arc<Ingest>>,
    tracker: TaskTracker,
    cancel: CancellationToken,
}

/// What is known from outside about one running receiver.
struct Receiver {
    name: ReceiverName,
    address: SocketAddr,
    fault: watch::Sender<Option<ReceiverFault>>,
    ledger: Arc<Mutex<Ledger>>,
}

impl Receivers {
    /// Starts the receivers; when it returns, all of them listen.
    ///
    /// # Errors
    ///
    /// If one of the addresses cannot be listened on; none of the receivers then runs.
    pub async fn start(config: ReceiversConfig) -> Result<Receivers, StartReceiverError> {
        let mut receivers = Receivers {
            running: Vec::new(),
            hec: None,
            ingest: None,
            tracker: TaskTracker::new(),
            cancel: CancellationToken::new(),
        };
        if let Some(hec) = config.hec {
            receivers.start_hec(hec).await?;
        }
        let syslog = config.syslog.unwrap_or_default();
        if let Some(address) = syslog.udp {
            receivers.start_syslog_udp(address).await?;
        }
        if let Some(address) = syslog.tcp {
            receivers.start_syslog_tcp(address).await?;
        }
        if let Some((address, tls)) = syslog.tls {
            receivers.start_syslog_tls(address, tls).await?;
        }
        if let Some(address) = config.ingest {
            receivers.start_ingest(address).await?;
        }
        Ok(receivers)
    }

    /// Where the HTTP Event Collector listens.
    pub fn hec_address(&self) -> Option<SocketAddr> {
        self.address(ReceiverName::Hec)
    }

    /// Where syslog over UDP is received.
    pub fn syslog_udp_address(&self) -> Option<SocketAddr> {
        self.address(ReceiverName::SyslogUdp)
    }

    /// Where syslog over TCP is received.
    pub fn syslog_tcp_address(&self) -> Option<SocketAddr> {
        self.address(ReceiverName::SyslogTcp)
    }

    /// Where syslog over TLS is received.
    pub fn syslog_tls_address(&self) -> Option<SocketAddr> {
        self.address(ReceiverName::SyslogTls)
    }

    /// Where Azure Monitor's data collection rule listens.
    pub fn ingest_address(&self) -> Option<SocketAddr> {
        self.address(ReceiverName::Ingest)
    }

    /// Declares the columns of the rule's stream, in place of those it had; at first it has none.
    pub fn declare_columns(&self, columns: impl IntoIterator<Item = String>) {
        if let Some(ingest) = &self.ingest {
            ingest.declare(columns);
        }
    }

    /// What the rule has done to rows without telling.
    pub fn ingest_tally(&self) -> Option<IngestTally> {
        self.ingest.as_ref().map(|ingest| ingest.tally())
    }

    /// From now on, requests to the rule must have a token that `check` takes. Before, none is taken.
    pub(crate) fn check_ingest_tokens(
        &self,
        check: impl Fn(&hyper::header::HeaderMap) -> Result<(), String> + Send + Sync + 'static,
    ) {
        if let Some(ingest) = &self.ingest {
            ingest.check_tokens_by(Box::new(check));
        }
    }

    /// Makes a receiver misbehave, in place of what it did wrong before. A receiver that does not run is ignored.
    pub fn set_fault(&self, receiver: ReceiverName, fault: ReceiverFault) {
        if let Some(receiver) = self.find(receiver) {
            receiver.fault.send_replace(Some(fault));
        }
    }

    /// Makes one receiver behave again.
    pub fn clear_fault(&self, receiver: ReceiverName) {
        if let Some(receiver) = self.find(receiver) {
            receiver.fault.send_replace(None);
        }
    }

    /// Makes all receivers behave again.
    pub fn clear_faults(&self) {
        for receiver in &self.running {
            receiver.fault.send_replace(None);
        }
    }

    /// How long after its answer the HTTP Event Collector begins to acknowledge a request; at first not at all.
    pub fn set_acknowledge_delay(&self, delay: Duration) {
        if let Some(hec) = &self.hec {
            hec.set_acknowledge_delay(delay);
        }
    }

    /// The largest request body, packed and unpacked, that the HTTP Event Collector takes; at first 100 MB.
    pub fn set_hec_body_limit(&self, bytes: usize) {
        if let Some(hec) = &self.hec {
            hec.set_body_limit(bytes);
        }
    }

    /// From now on, the HTTP Event Collector keeps what it indexes, to be searched for; that takes memory and time.
    pub fn keep_index(&self) {
        if let Some(hec) = &self.hec {
            hec.keep_index();
        }
    }

    /// Takes a further token at the HTTP Event Collector, which may write to these indexes only.
    pub fn add_hec_token(&self, token: &str, indexes: &[&str]) {
        if let Some(hec) = &self.hec {
            let indexes = indexes.iter().map(|&index| index.to_owned()).collect();
            hec.tokens().add(token.to_owned(), indexes);
        }
    }

    /// Takes a token no more at the HTTP Event Collector.
    pub fn remove_hec_token(&self, token: &str) {
        if let Some(hec) = &self.hec {
            hec.tokens().remove(token);
        }
    }

    /// What came at the HTTP Event Collector with each token.
    pub fn hec_tokens(&self) -> HashMap<String, HecTokenTally> {
        self.hec.as_ref().map(|hec| hec.tokens().tallies()).unwrap_or_default()
    }

    /// What came more than once at the HTTP Event Collector, by what its sender had been told.
    pub fn hec_doubled(&self) -> DoubledEvents {
        self.hec.as_ref().map(|hec| hec.doubled()).unwrap_or_default()
    }

    /// When the HTTP Event Collector told its client of each version that the request in which it first came is stored; `None`: it
    /// has not.
    pub fn hec_acknowledged_at(&self, versions: &[Produced]) -> Vec<Option<Instant>> {
        self.hec.as_ref().map_or_else(|| vec![None; versions.len()], |hec| hec.acknowledged_at(versions))
    }

    /// What each running receiver saw until now, against all that was produced.
    pub fn tally(&self, produced: &[Produced]) -> Vec<ReceiverTally> {
        let produced = ProducedIndex::new(produced);
        self.running
            .iter()
            .map(|receiver| lock(&receiver.ledger).compare(receiver.name.to_string(), &produced))
            .collect()
    }

    /// When what came more than once at a receiver came; of the first hundred thousand copies.
    pub fn doubles(&self, receiver: ReceiverName) -> Vec<Double> {
        self.find(receiver).map(|receiver| lock(&receiver.ledger).doubles().to_vec()).unwrap_or_default()
    }

    /// Resets the open connections, stops listening and waits until that is done.
    pub async fn stop(self) {
        self.cancel.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }

    async fn start_hec(&mut self, config: HecConfig) -> Result<(), StartReceiverError> {
        let listener = listen(ReceiverName::Hec, config.listen).await?;
        let (fault, ledger) = self.add(ReceiverName::Hec, config.listen, listener.local_addr())?;
        let acceptor = config.tls.map(|tls| {
            let mut tls = (*tls).clone();
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
            TlsAcceptor::from(Arc::new(tls))
        });
        let hec = Arc::new(Hec::new(config.token, config.acknowledge, fault.clone(), ledger));
        self.hec = Some(Arc::clone(&hec));
        self.accept(ReceiverName::Hec, listener, fault, move |wire| {
            hec::serve(wire, acceptor.clone(), Arc::clone(&hec))
        });
        Ok(())
    }

    async fn start_ingest(&mut self, address: SocketAddr) -> Result<(), StartReceiverError> {
        let listener = listen(ReceiverName::Ingest, address).await?;
        let (fault, ledger) = self.add(ReceiverName::Ingest, address, listener.local_addr())?;
        let ingest = Arc::new(Ingest::new(fault.clone(), ledger));
        self.ingest = Some(Arc::clone(&ingest));
        self.accept(ReceiverName::Ingest, listener, fault, move |wire| {
            ingest::serve(wire, Arc::clone(&ingest))
        });
        Ok(())
    }

    async fn start_syslog_udp(&mut self, address: SocketAddr) -> Result<(), StartReceiverError> {
        let name = ReceiverName::SyslogUdp;
        let socket = UdpSocket::bind(address).await.map_err(|error| start_error(name, address, error))?;
        let (fault, ledger) = self.add(name, address, socket.local_addr())?;
        let receive = syslog::serve_udp(socket, fault, ledger);
        self.tracker.spawn(self.cancel.clone().run_until_cancelled_owned(receive));
        Ok(())
    }

    async fn start_syslog_tcp(&mut self, address: SocketAddr) -> Result<(), StartReceiverError> {
        let listener = listen(ReceiverName::SyslogTcp, address).await?;
        let (fault, ledger) = self.add(ReceiverName::SyslogTcp, address, listener.local_addr())?;
        let seen = fault.clone();
        self.accept(ReceiverName::SyslogTcp, listener, fault, move |wire| {
            syslog::serve(wire, seen.clone(), Arc::clone(&ledger))
        });
        Ok(())
    }

    async fn start_syslog_tls(
        &mut self,
        address: SocketAddr,
        tls: Arc<rustls::ServerConfig>,
    ) -> Result<(), StartReceiverError> {
        let listener = listen(ReceiverName::SyslogTls, address).await?;
        let (fault, ledger) = self.add(ReceiverName::SyslogTls, address, listener.local_addr())?;
        let acceptor = TlsAcceptor::from(tls);
        let seen = fault.clone();
        self.accept(ReceiverName::SyslogTls, listener, fault, move |wire| {
            syslog::serve_tls(wire, acceptor.clone(), seen.clone(), Arc::clone(&ledger))
        });
        Ok(())
    }

    fn add(
        &mut self,
        name: ReceiverName,
        wanted: SocketAddr,
        bound: io::Result<SocketAddr>,
    ) -> Result<(FaultSeen, Arc<Mutex<Ledger>>), StartReceiverError> {
        let address = bound.map_err(|error| start_error(name, wanted, error))?;
        let (fault, seen_fault) = watch::channel(None);
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        self.running.push(Receiver { name, address, fault, ledger: Arc::clone(&ledger) });
        Ok((seen_fault, ledger))
    }

    fn accept<S, F>(&self, name: ReceiverName, listener: TcpListener, fault: FaultSeen, serve: S)
    where
        S: Fn(wire::Wire) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(receiver) = self.find(name) else { return };
        let (address, ledger) = (receiver.address, Arc::clone(&receiver.ledger));
        let serve = move |wire| {
            lock(&ledger).in_use();
            serve(wire)
        };
        let (tracker, cancel) = (self.tracker.clone(), self.cancel.clone());
        self.tracker.spawn(accept_connections(listener, address, fault, tracker, cancel, serve));
    }

    fn find(&self, name: ReceiverName) -> Option<&Receiver> {
        self.running.iter().find(|receiver| receiver.name == name)
    }

    fn address(&self, name: ReceiverName) -> Option<SocketAddr> {
        self.find(name).map(|receiver| receiver.address)
    }
}

impl Drop for Receivers {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

pub(super) async fn listen(
    receiver: ReceiverName,
    address: SocketAddr,
) -> Result<TcpListener, StartReceiverError> {
    TcpListener::bind(address).await.map_err(|error| start_error(receiver, address, error))
}

fn start_error(receiver: ReceiverName, address: SocketAddr, source: io::Error) -> StartReceiverError {
    if source.kind() == io::ErrorKind::AddrInUse {
        StartReceiverError::PortInUse { receiver, address }
    } else {
        StartReceiverError::Listen { receiver, address, source }
    }
}
