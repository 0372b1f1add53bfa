//! Servers that mean no good.

use super::bundle::{Bundle, bytes};
use super::server::Server;
use super::*;

#[test]
fn a_gateway_that_is_not_declared_asks_for_no_file() {
    let bundle = Bundle::new("7276FF*", &[("site.yml", bytes(1000, 1))]);
    let served = bundle.clone();
    let server = Server::start(move |asked, stream, counts| served.serve(asked, stream, counts));
    let mut gateway = Gateway::new();
    assert_eq!(refused(gateway.fetch(&bundle, &server)).0, RefusalReason::NotDeclared);
    let paths =
        [format!("/v2/links/manifests/{}", bundle.digest), format!("/v2/links/blobs/{}", bundle.config)];
    assert_eq!(server.paths(), paths);
    assert!(!gateway.has(bundle.data()));
}
