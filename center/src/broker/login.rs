//! Decides who a client is, at one entrance of the broker, and asks [`Client`] what it may do.

use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use keros_protocol::Eui;
use keros_protocol::topics::Prefix;
use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use ring::hmac;
use tokio::sync::broadcast;

use super::access::Client;
use super::gate::Gate;
use super::passwords::PasswordFile;

/// The center's user name.
pub(super) const CENTER_USERNAME: &str = "center";

/// What all entrances share.
pub(super) struct Guard {
    pub(super) prefix: Prefix,
    pub(super) passwords: Option<PasswordFile>,
    pub(super) gate: Arc<Gate>,
    /// A key made of the center's password: comparing HMACs takes the same time whatever is wrong.
    pub(super) center_key: hmac::Key,
    pub(super) center_tag: hmac::Tag,
}

/// By which entrance a client came.
#[derive(Debug, Clone)]
pub(super) enum Entrance {
    /// The loopback port that only this center knows.
    Center,
    /// A listener for gateways; with the verified client certificate, if one was shown.
    Gateways { certificate: Option<ClientCertificate> },
}

/// What counts of a verified client certificate.
#[derive(Debug, Clone)]
pub(super) struct ClientCertificate {
    pub(super) name: String,
    pub(super) serial: String,
}

/// One connection's log-in.
pub(super) struct Login {
    guard: Arc<Guard>,
    entrance: Entrance,
    /// Ends the connection.
    end: broadcast::Sender<()>,
    admitted: OnceLock<Eui>,
}

impl Login {
    pub(super) fn new(guard: Arc<Guard>, entrance: Entrance, end: broadcast::Sender<()>) -> Self {
        Self { guard, entrance, end, admitted: OnceLock::new() }
    }

    /// The connection has ended.
    pub(super) fn left(&self) {
        if let Some(eui) = self.admitted.get() {
            self.guard.gate.left(&self.end, *eui);
        }
    }

    /// Who this is, when nobody has locked it out.
    fn admit(&self, connect: &ConnectPacket) -> Result<Client, String> {
        let client = self.identify(connect)?;
        let Client::Gateway(eui) = client else { return Ok(client) };
        let serial = match &self.entrance {
            Entrance::Gateways { certificate } => certificate.as_ref().map(|shown| shown.serial.as_str()),
            Entrance::Center => None,
        };
        if !self.guard.gate.admit(eui, serial, &self.end) {
            return Err(format!("the certificate of {eui} was revoked"));
        }
        let _ = self.admitted.set(eui);
        // A password may have been taken away just before the gate knew of this connection.
        self.identify(connect)
    }

    /// Who this is, or why not, for the log; the client is only told that it may not.
    fn identify(&self, connect: &ConnectPacket) -> Result<Client, String> {
        let client = match &self.entrance {
            Entrance::Center => self.identify_center(connect)?,
            Entrance::Gateways { certificate: Some(shown) } => by_certificate(&shown.name, connect)?,
            Entrance::Gateways { certificate: None } => self.by_password(connect)?,
        };
        if !client.may_be_called(&connect.client_id) {
            let id = keros_protocol::limits::shorten(&connect.client_id, 64);
            return Err(format!("the client identifier {id:?} does not contain the gateway's EUI"));
        }
        if let Some(will) = &connect.will
            && !client.may_publish(&self.guard.prefix, &will.topic)
        {
            return Err("its last will is for a topic that is not its own".to_owned());
        }
        Ok(client)
    }

    fn identify_center(&self, connect: &ConnectPacket) -> Result<Client, String> {
        let password = connect.password.as_deref().unwrap_or_default();
        let known = hmac::verify(&self.guard.center_key, password, self.guard.center_tag.as_ref()).is_ok();
        if connect.username.as_deref() == Some(CENTER_USERNAME) && known {
            Ok(Client::Center)
        } else {
            Err("this port is only for the center itself".to_owned())
        }
    }

    fn by_password(&self, connect: &ConnectPacket) -> Result<Client, String> {
        let passwords = self
            .guard
            .passwords
            .as_ref()
            .ok_or("gateways log in with a client certificate here, and there was none")?;
        let username = connect.username.as_deref().ok_or("there was no user name")?;
        let eui = Eui::from_canonical(username).map_err(|error| format!("the user name: {error}"))?;
        let password = connect.password.as_deref().ok_or("there was no password")?;
        if passwords.is_password_of(eui, password) {
            Ok(Client::Gateway(eui))
        } else {
            Err(format!("{eui} is not known, or its password is wrong"))
        }
    }

    fn client_of(user_id: Option<&str>) -> Option<Client> {
        match user_id? {
            CENTER_USERNAME => Some(Client::Center),
            eui => Eui::from_canonical(eui).ok().map(Client::Gateway),
        }
    }
}

/// A certificate alone logs its gateway in. A user name is not needed; another one is refused rather than ignored.
fn by_certificate(name: &str, connect: &ConnectPacket) -> Result<Client, String> {
    let eui = Eui::from_canonical(name).map_err(|error| {
        let name = keros_protocol::limits::shorten(name, 64);
        format!("the certificate's common name {name:?}: {error}")
    })?;
    match connect.username.as_deref() {
        Some(username) if username != name => {
            Err(format!("the user name is not the {eui} of the certificate"))
        }
        _ => Ok(Client::Gateway(eui)),
    }
}

impl AuthProvider for Login {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        client_addr: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = mqtt5::Result<AuthResult>> + Send + 'a>> {
        let result = match self.admit(connect) {
            Ok(Client::Center) => AuthResult::success_with_user(CENTER_USERNAME),
            Ok(Client::Gateway(eui)) => AuthResult::success_with_user(eui.to_string()),
            Err(why) => {
                tracing::warn!(%client_addr, "broker log-in refused: {why}");
                AuthResult::fail(ReasonCode::NotAuthorized)
            }
        };
        Box::pin(ready(Ok(result)))
    }

    fn authorize_publish<'a>(
        &'a self,
        _client_id: &str,
        user_id: Option<&'a str>,
        topic: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        let may = Self::client_of(user_id).is_some_and(|c| c.may_publish(&self.guard.prefix, topic));
        Box::pin(ready(may))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _client_id: &str,
        user_id: Option<&'a str>,
        topic_filter: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        let may = Self::client_of(user_id).is_some_and(|c| c.may_subscribe(&self.guard.prefix, topic_filter));
        Box::pin(ready(may))
    }
}
