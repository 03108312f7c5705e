//! Microsoft's clouds. No other folder names a Microsoft host.

mod addresses;
mod national;
mod portals;

pub use addresses::Cloud;
pub(crate) use addresses::{is_loopback, resource_app_anywhere};
pub use national::{CloudError, NationalCloud};
pub use portals::Portals;
