//! Every route of the API. A new one is a line here and its handler:
//!
//! ```text
//! Route::post("/groups", EditGroups, "Makes a group.", groups::create).body::<CreateGroup>().json::<GroupView>(201).once(),
//! ```
//!
//! Types in `body`, `json` and `query` derive `schemars::JsonSchema`, their doc comments become the document's descriptions. Then
//! `KEROS_BLESS=1 cargo test -p keros-center --lib rest` writes `docs/center-api.openapi.json` and the table of `docs/rest.md` anew.

use super::route::Route;
use super::{
    accounts, all_events, blobs, enrolments, events, fleet, gateways, groups, health, lines, links, openapi,
    orders, scripts, updates, webhooks,
};
use crate::access::Action::{
    AskTelemetry, CancelUpdates, EditGateways, EditGroups, EditLinks, Enrol, LockOut, MoveGateways,
    SeeGateways, SeeGroups, SeeLinks, SeeUpdates, SendUpdates, SignByHand,
};
use crate::api::{
    CancelView, CheckScript, CollectLinks, CreateGroup, DeclareGateway, DeliveryView, DifferencesView,
    EditGateway, EditGroup, EnrolOrder, EnrolmentLine, EnrolmentView, GatewayCounts, GatewayView, GroupView,
    Health, History, ImportView, LineQuery, LineView, LinkView, LockedOut, MoveGateway, Packages,
    PreviewView, RemovedLinks, Retired, ScriptCheckView, SendUpdate, SignLink, SignedLink, UpdateView,
};

/// Media types of what is not JSON.
const CSV: &str = "text/csv";
const OCTETS: &str = "application/octet-stream";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// All of them, in the order of the documentation.
pub(super) fn routes() -> Vec<Route> {
    let mut routes = common();
    routes.extend(about_gateways());
    routes.extend(about_one_gateway());
    routes.extend(about_enrolments());
    routes.extend(about_groups());
    routes.extend(about_updates());
    routes.extend(orders::routes());
    routes.extend(about_links());
    routes.extend(webhooks::routes());
    routes.extend(accounts::routes());
    routes
}

fn common() -> Vec<Route> {
    vec![
        Route::open("/health", "Whether the center serves, and how it is.", health).json::<Health>(200),
        Route::get(
            "/events",
            SeeUpdates,
            "Which gateways and updates change, as it happens.",
            all_events::stream,
        )
        .events(),
        Route::open("/openapi.json", "This document.", openapi::serve).json::<serde_json::Value>(200),
    ]
}

fn about_gateways() -> Vec<Route> {
    vec![
        Route::get(
            "/gateways",
            SeeGateways,
            "The gateways that are wanted, in the order that is wanted.",
            fleet::list,
        )
        .query::<fleet::Asked>()
        .json::<Vec<GatewayView>>(200)
        .refuses(&[404, 409, 422])
        .paged(),
        Route::get(
            "/gateways/counts",
            SeeGateways,
            "How many of them have each connection status.",
            fleet::counts,
        )
        .query::<fleet::Asked>()
        .json::<GatewayCounts>(200)
        .refuses(&[404, 409, 422]),
        Route::get("/gateways/export", SeeGateways, "All of them as CSV.", fleet::export)
            .query::<fleet::Asked>()
            .bytes(200, CSV)
            .refuses(&[404, 409, 422])
            .endless(),
        Route::post(
            "/gateways/import",
            EditGateways,
            "Declares, names, labels the gateways of a CSV file: all, or none.",
            fleet::import,
        )
        .query::<fleet::ImportAsked>()
        .body_bytes(CSV)
        .json::<ImportView>(200)
        .refuses(&[409]),
        Route::post(
            "/gateways",
            EditGateways,
            "Declares a gateway, or names one that is known.",
            gateways::declare,
        )
        .body::<DeclareGateway>()
        .json::<GatewayView>(201)
        .refuses(&[409])
        .once(),
    ]
}

fn about_one_gateway() -> Vec<Route> {
    vec![
        Route::get("/gateways/{eui}", SeeGateways, "One gateway with its last telemetry.", gateways::show)
            .json::<GatewayView>(200),
        Route::patch("/gateways/{eui}", EditGateways, "Names, describes, labels a gateway.", fleet::edit)
            .body::<EditGateway>()
            .json::<GatewayView>(200)
            .conditional(),
        Route::get(
            "/gateways/{eui}/history",
            SeeGateways,
            "The vitals of its last week and year.",
            fleet::history,
        )
        .json::<History>(200),
        Route::get("/gateways/{eui}/packages", SeeGateways, "Its packages.", fleet::packages)
            .query::<fleet::PackagesAsked>()
            .json::<Packages>(200),
        Route::post(
            "/gateways/{eui}/move",
            MoveGateways,
            "Moves a gateway to another customer.",
            fleet::move_to,
        )
        .body::<MoveGateway>()
        .json::<GatewayView>(200)
        .refuses(&[409]),
        Route::post(
            "/gateways/{eui}/retire",
            EditGateways,
            "Takes a gateway out of service: it is sent nothing more.",
            fleet::retire,
        )
        .json::<Retired>(200)
        .refuses(&[409]),
        Route::post(
            "/gateways/{eui}/unretire",
            EditGateways,
            "Takes a gateway into service again.",
            fleet::unretire,
        )
        .json::<GatewayView>(200)
        .refuses(&[409]),
        Route::post(
            "/gateways/{eui}/nudge",
            AskTelemetry,
            "Asks a gateway for telemetry now.",
            gateways::nudge,
        )
        .empty(202)
        .refuses(&[409]),
        Route::post(
            "/gateways/{eui}/lock-out",
            LockOut,
            "Takes a gateway's log-in away.",
            enrolments::lock_out,
        )
        .json::<LockedOut>(200),
    ]
}

fn about_enrolments() -> Vec<Route> {
    vec![
        Route::get(
            "/enrolments",
            Enrol,
            "The lines with which gateways join, newest first.",
            enrolments::list,
        )
        .json::<Vec<EnrolmentView>>(200),
        Route::post("/enrolments", Enrol, "Makes lines with which gateways join.", enrolments::order)
            .body::<EnrolOrder>()
            .json::<Vec<EnrolmentLine>>(201)
            .refuses(&[409]),
        Route::delete("/enrolments/{eui}", Enrol, "Takes a line back.", enrolments::cancel).empty(204),
    ]
}

fn about_groups() -> Vec<Route> {
    vec![
        Route::get("/groups", SeeGroups, "The groups, in the order of their names.", groups::list)
            .json::<Vec<GroupView>>(200),
        Route::post("/groups", EditGroups, "Makes a group.", groups::create)
            .body::<CreateGroup>()
            .json::<GroupView>(201)
            .refuses(&[409])
            .once(),
        Route::get("/groups/{name}", SeeGroups, "One group with its members.", groups::show)
            .json::<GroupView>(200)
            .refuses(&[409]),
        Route::patch("/groups/{name}", EditGroups, "Names, describes, rules a group.", groups::edit)
            .body::<EditGroup>()
            .json::<GroupView>(200)
            .refuses(&[409])
            .conditional(),
        Route::delete("/groups/{name}", EditGroups, "Removes a group; its gateways stay.", groups::remove)
            .empty(204)
            .refuses(&[409])
            .conditional(),
        Route::put("/groups/{name}/gateways/{eui}", EditGroups, "Adds a member.", groups::add_member)
            .json::<GroupView>(200)
            .refuses(&[409]),
        Route::delete(
            "/groups/{name}/gateways/{eui}",
            EditGroups,
            "Takes a member out.",
            groups::remove_member,
        )
        .json::<GroupView>(200)
        .refuses(&[409]),
    ]
}

fn about_updates() -> Vec<Route> {
    vec![
        Route::get(
            "/updates",
            SeeUpdates,
            "The updates, newest first, without their gateways.",
            updates::list,
        )
        .json::<Vec<UpdateView>>(200)
        .paged(),
        Route::get(
            "/gateways/{eui}/updates",
            SeeUpdates,
            "The last updates of a gateway, newest first.",
            updates::of_gateway,
        )
        .json::<Vec<UpdateView>>(200),
        Route::post("/updates", SendUpdates, "Sends a job to a group.", updates::send)
            .body::<SendUpdate>()
            .json::<UpdateView>(201)
            .refuses(&[409])
            .once(),
        Route::post(
            "/updates/preview",
            SendUpdates,
            "What an update would come to; nothing is sent.",
            updates::preview,
        )
        .body::<SendUpdate>()
        .json::<PreviewView>(200)
        .refuses(&[409]),
        Route::post("/scripts/check", SendUpdates, "What a gateway would say of a script.", scripts::check)
            .body::<CheckScript>()
            .json::<ScriptCheckView>(200),
        Route::get("/updates/{id}", SeeUpdates, "One update, a line for each gateway.", updates::show)
            .json::<UpdateView>(200),
        Route::get(
            "/updates/{id}/events",
            SeeUpdates,
            "Each change of an update, until it has ended.",
            events::stream,
        )
        .events(),
        Route::get(
            "/updates/{id}/gateways",
            SeeUpdates,
            "The gateways of an update: all, or those with one status.",
            lines::list,
        )
        .query::<LineQuery>()
        .json::<Vec<DeliveryView>>(200)
        .refuses(&[422])
        .paged(),
        Route::get(
            "/updates/{id}/gateways/{eui}",
            SeeUpdates,
            "One gateway of an update, with all that it reported.",
            lines::show,
        )
        .json::<LineView>(200),
        Route::get(
            "/updates/{id}/differences",
            SeeUpdates,
            "What a dry run would change, and on how many gateways the same.",
            lines::differences,
        )
        .json::<DifferencesView>(200),
        Route::post("/updates/{id}/cancel", CancelUpdates, "Cancels an update.", updates::cancel)
            .json::<CancelView>(200),
        Route::post(
            "/updates/{id}/gateways/{eui}/cancel",
            CancelUpdates,
            "Cancels an update for one gateway.",
            updates::cancel_one,
        )
        .json::<CancelView>(200),
    ]
}

fn about_links() -> Vec<Route> {
    vec![
        Route::get("/magic-links", SeeLinks, "The Magic Links in the center's store.", links::list)
            .json::<Vec<LinkView>>(200),
        Route::post(
            "/magic-links/collect",
            EditLinks,
            "Removes the links that no update runs.",
            links::collect,
        )
        .body::<CollectLinks>()
        .json::<RemovedLinks>(200),
        Route::get("/magic-links/{digest}", SeeLinks, "One Magic Link.", links::show)
            .query::<links::ForGroup>()
            .json::<LinkView>(200)
            .refuses(&[409, 422]),
        Route::put(
            "/magic-links/{digest}",
            EditLinks,
            "Puts a link into the store: its manifest.",
            links::put,
        )
        .query::<links::ForCustomer>()
        .body_bytes(MANIFEST)
        .json::<LinkView>(200)
        .json::<LinkView>(201)
        .refuses(&[409, 507]),
        Route::delete(
            "/magic-links/{digest}",
            EditLinks,
            "Removes a link and the blobs of it alone.",
            links::remove,
        )
        .json::<RemovedLinks>(200)
        .refuses(&[409, 422]),
        Route::post(
            "/magic-links/{digest}/sign",
            SignByHand,
            "Signs a command that a person carries.",
            links::sign,
        )
        .body::<SignLink>()
        .json::<SignedLink>(201)
        .refuses(&[409])
        .once(),
        Route::get("/blobs/{digest}", SeeLinks, "The bytes of a blob.", blobs::get)
            .bytes(200, OCTETS)
            .bytes(206, OCTETS)
            .refuses(&[416])
            .endless(),
        Route::head("/blobs/{digest}", SeeLinks, "Whether a blob is there; it stays a while.", blobs::get)
            .empty(200)
            .endless(),
        Route::put("/blobs/{digest}", EditLinks, "Puts a blob into the store.", blobs::put)
            .body_bytes(OCTETS)
            .empty(200)
            .empty(201)
            .refuses(&[507])
            .endless(),
    ]
}
