//! `/session`, `/account`, `/users`, `/customers`.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};

use super::auth::{is_of_another_site, session_secret};
use super::body::Body;
use super::problem::Failure;
use super::route::Route;
use super::{Api, audit};
use crate::access::Action::{EditCustomers, EditUsers, OwnAccount, SeeAudit, SeeCustomers, SeeUsers};
use crate::access::Caller;
use crate::accounts::{Entered, Known};
use crate::api::{
    AuditView, ChangePassword, ChangeUser, CreateToken, CreateUser, CustomerOrder, CustomerView, LogIn,
    RoleOrder, SessionView, SetUp, TokenView, UserView,
};
use crate::service::unix_now;

/// Its lines of the table of routes.
pub(super) fn routes() -> Vec<Route> {
    let mut routes = own();
    routes.extend(of_users());
    routes.extend(of_customers());
    routes
}

fn own() -> Vec<Route> {
    vec![
        Route::open_post("/session", "Logs in: the answer sets the cookie of the session.", log_in)
            .body::<LogIn>()
            .json::<SessionView>(200)
            .refuses(&[401, 403, 429]),
        Route::open_post("/session/set-up", "Chooses the password of a set-up link, and logs in.", set_up)
            .body::<SetUp>()
            .json::<SessionView>(200)
            .refuses(&[403, 409, 429]),
        Route::get("/session", OwnAccount, "Who asks, and his roles.", session).json::<SessionView>(200),
        Route::delete("/session", OwnAccount, "Logs out.", log_out).empty(204),
        Route::put(
            "/account/password",
            OwnAccount,
            "Chooses another password; log-ins end.",
            change_password,
        )
        .body::<ChangePassword>()
        .json::<SessionView>(200)
        .refuses(&[409, 429]),
        Route::get("/account/tokens", OwnAccount, "One's API tokens, newest first.", tokens)
            .json::<Vec<TokenView>>(200)
            .refuses(&[409]),
        Route::post(
            "/account/tokens",
            OwnAccount,
            "Makes an API token, and shows it this once.",
            create_token,
        )
        .body::<CreateToken>()
        .json::<TokenView>(201)
        .refuses(&[409]),
        Route::delete("/account/tokens/{id}", OwnAccount, "Revokes an API token.", revoke_token)
            .empty(204)
            .refuses(&[409]),
    ]
}

fn of_users() -> Vec<Route> {
    vec![
        Route::get("/users", SeeUsers, "The users, in the order of their log-in names.", users)
            .json::<Vec<UserView>>(200),
        Route::post("/users", EditUsers, "Makes a user.", create_user)
            .body::<CreateUser>()
            .json::<UserView>(201)
            .refuses(&[409, 429]),
        Route::get("/users/{user}", SeeUsers, "One user.", user).json::<UserView>(200),
        Route::patch("/users/{user}", EditUsers, "Changes or disables a user.", change_user)
            .body::<ChangeUser>()
            .json::<UserView>(200)
            .refuses(&[409])
            .conditional(),
        Route::post("/users/{user}/set-up", EditUsers, "Makes a set-up link; log-ins end.", invite_user)
            .json::<UserView>(200)
            .refuses(&[409]),
        Route::post("/users/{user}/roles", EditUsers, "Gives a user a role.", give_role)
            .body::<RoleOrder>()
            .json::<UserView>(200)
            .refuses(&[409]),
        Route::delete(
            "/users/{user}/roles/{customer}/{role}",
            EditUsers,
            "Takes a role from a user.",
            take_role,
        )
        .empty(204)
        .refuses(&[409]),
        Route::get("/audit", SeeAudit, "Who did what, newest first.", audit::list)
            .query::<audit::Wanted>()
            .json::<Vec<AuditView>>(200)
            .paged()
            .refuses(&[404]),
        Route::get("/audit.csv", SeeAudit, "Who did what, as comma-separated values.", audit::csv)
            .query::<audit::Wanted>()
            .bytes(200, "text/csv")
            .refuses(&[404]),
    ]
}

fn of_customers() -> Vec<Route> {
    vec![
        Route::get("/customers", SeeCustomers, "The customers, in the order of their names.", customers)
            .json::<Vec<CustomerView>>(200),
        Route::post("/customers", EditCustomers, "Makes a customer.", create_customer)
            .body::<CustomerOrder>()
            .json::<CustomerView>(201)
            .refuses(&[409, 429]),
        Route::get("/customers/{customer}", SeeCustomers, "One customer.", customer)
            .json::<CustomerView>(200),
        Route::patch(
            "/customers/{customer}",
            EditCustomers,
            "Names or describes a customer anew.",
            change_customer,
        )
        .body::<CustomerOrder>()
        .json::<CustomerView>(200)
        .refuses(&[409, 429])
        .conditional(),
        Route::delete(
            "/customers/{customer}",
            EditCustomers,
            "Removes one that has nothing.",
            remove_customer,
        )
        .empty(204)
        .refuses(&[409])
        .conditional(),
    ]
}

type Answer<T> = Result<Json<T>, Failure>;
type Made<T> = Result<(StatusCode, Json<T>), Failure>;
type Began = Result<(HeaderMap, Json<SessionView>), Failure>;

/// A body of somebody who is not known yet, and from where it comes.
async fn of_stranger<T: serde::de::DeserializeOwned + schemars::JsonSchema>(
    api: &Api,
    request: Request,
) -> Result<(T, Option<String>), Failure> {
    use axum::extract::FromRequest as _;
    if is_of_another_site(request.headers()) {
        return Err(Failure::new(StatusCode::FORBIDDEN, "another site's page may not log in here"));
    }
    let (parts, body) = request.into_parts();
    let address = api.address(&parts);
    let Body(order) = Body::from_request(Request::from_parts(parts, body), api).await?;
    Ok((order, address))
}

async fn began(api: &Api, entered: Entered) -> Began {
    let mut headers = HeaderMap::new();
    headers.extend(api.front.session_cookie(&entered.secret).map(|value| (header::SET_COOKIE, value)));
    Ok((headers, Json(api.accounts.session(&entered.known).await?)))
}

pub(super) async fn log_in(State(api): State<Api>, request: Request) -> Began {
    let (order, address): (LogIn, _) = of_stranger(&api, request).await?;
    let entered = api.accounts.log_in(order, address, unix_now()).await?;
    began(&api, entered).await
}

pub(super) async fn set_up(State(api): State<Api>, request: Request) -> Began {
    let (order, address): (SetUp, _) = of_stranger(&api, request).await?;
    let entered = api.accounts.set_up(order, address, unix_now()).await?;
    began(&api, entered).await
}

pub(super) async fn session(State(api): State<Api>, known: Known) -> Answer<SessionView> {
    Ok(Json(api.accounts.session(&known).await?))
}

pub(super) async fn log_out(
    State(api): State<Api>,
    known: Known,
    headers: HeaderMap,
) -> Result<(StatusCode, HeaderMap), Failure> {
    let mut answer = HeaderMap::new();
    if let (Some(_), Some(secret)) = (known.csrf, session_secret(&headers)) {
        api.accounts.log_out(&secret).await?;
        answer.extend(api.front.no_session_cookie().map(|value| (header::SET_COOKIE, value)));
    }
    Ok((StatusCode::NO_CONTENT, answer))
}

pub(super) async fn change_password(
    State(api): State<Api>,
    caller: Caller,
    Body(order): Body<ChangePassword>,
) -> Began {
    let entered = api.accounts.change_password(&caller, (order.old, order.new), unix_now()).await?;
    began(&api, entered).await
}

pub(super) async fn tokens(State(api): State<Api>, caller: Caller) -> Answer<Vec<TokenView>> {
    Ok(Json(api.accounts.tokens(&caller).await?))
}

pub(super) async fn create_token(
    State(api): State<Api>,
    caller: Caller,
    Body(order): Body<CreateToken>,
) -> Made<TokenView> {
    Ok((StatusCode::CREATED, Json(api.accounts.create_token(&caller, order, unix_now()).await?)))
}

pub(super) async fn revoke_token(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    let id = id.parse().map_err(|_| Failure::bad_request(format!("{id:?} is no token's id")))?;
    api.accounts.revoke_token(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn users(State(api): State<Api>, caller: Caller) -> Answer<Vec<UserView>> {
    Ok(Json(api.accounts.users(&caller, unix_now()).await?))
}

pub(super) async fn user(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Answer<UserView> {
    Ok(Json(api.accounts.user(&caller, &name, unix_now()).await?))
}

pub(super) async fn create_user(
    State(api): State<Api>,
    caller: Caller,
    Body(order): Body<CreateUser>,
) -> Made<UserView> {
    Ok((StatusCode::CREATED, Json(api.accounts.create_user(&caller, order, unix_now()).await?)))
}

pub(super) async fn change_user(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    Body(order): Body<ChangeUser>,
) -> Answer<UserView> {
    Ok(Json(api.accounts.change_user(&caller, &name, &order, unix_now()).await?))
}

pub(super) async fn invite_user(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Answer<UserView> {
    Ok(Json(api.accounts.invite_user(&caller, &name, unix_now()).await?))
}

pub(super) async fn give_role(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    Body(order): Body<RoleOrder>,
) -> Answer<UserView> {
    Ok(Json(api.accounts.give_role(&caller, &name, &order, unix_now()).await?))
}

pub(super) async fn take_role(
    State(api): State<Api>,
    caller: Caller,
    Path((name, customer, role)): Path<(String, String, String)>,
) -> Result<StatusCode, Failure> {
    let role = role.parse().map_err(|error| Failure::bad_request(format!("{error}")))?;
    api.accounts.take_role(&caller, &name, &RoleOrder { customer, role }).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn customers(State(api): State<Api>, caller: Caller) -> Answer<Vec<CustomerView>> {
    Ok(Json(api.accounts.customers(&caller).await?))
}

pub(super) async fn customer(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Answer<CustomerView> {
    Ok(Json(api.accounts.customer(&caller, &name).await?))
}

pub(super) async fn create_customer(
    State(api): State<Api>,
    caller: Caller,
    Body(order): Body<CustomerOrder>,
) -> Made<CustomerView> {
    Ok((StatusCode::CREATED, Json(api.accounts.create_customer(&caller, order, unix_now()).await?)))
}

pub(super) async fn change_customer(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    Body(order): Body<CustomerOrder>,
) -> Answer<CustomerView> {
    Ok(Json(api.accounts.change_customer(&caller, &name, order, unix_now()).await?))
}

pub(super) async fn remove_customer(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    api.accounts.remove_customer(&caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
