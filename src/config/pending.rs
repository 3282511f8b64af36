//! Owns the settings that are known but not yet honoured. What would be accepted in silence and then not
//! enforced is refused instead; whoever builds a feature deletes its lines here.

use super::network::networks;
use super::reader::Reader;
use super::sections::{access_mode, path};
use super::settings::AccessMode;
use super::units::flag;

pub(super) fn refuse(reader: &mut Reader) {
    if reader.again("access.mode", access_mode) == Some(AccessMode::Protected) {
        reader.fault(
            "access.mode",
            "\"protected\" needs tokens and tickets, which are not available in this version; \
             set access.mode = \"open\" (or TASKGATE_ACCESS__MODE=open)",
        );
    }
    for key in ["access.token_file", "access.ticket_secret_file"] {
        if let Some(Some(_)) = reader.again(key, path) {
            reader.fault(
                key,
                "tokens and tickets are not available in this version; \
                 write \"\", and set access.mode = \"open\" (or TASKGATE_ACCESS__MODE=open)",
            );
        }
    }
    if reader.again("access.allow_cancel", flag) == Some(true) {
        reader.fault("access.allow_cancel", "cancelling is not available in this version; write false");
    }
    if reader.again("server.trusted_proxies", networks).is_some_and(|networks| !networks.is_empty()) {
        reader.fault(
            "server.trusted_proxies",
            "believing X-Forwarded-For is not available in this version; leave it empty",
        );
    }
}
