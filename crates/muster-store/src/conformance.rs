//! The rules of [`Store`](crate::Store) as tests that every engine runs.
