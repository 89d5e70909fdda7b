//! Who may see events and operate the service: whoever has the admin password; without one, processes
//! of this machine. And no browser on behalf of another site.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::operations::failure;
use super::{Admin, OPERATION_HEADER};
use crate::config::{self, Credential};
use crate::listener::Peer;
use crate::receive::{Credentials, Throttle};

/// The user that the password belongs to.
pub const USERNAME: &str = "admin";

/// What requests are judged by.
pub struct Access {
    /// Replaced as a whole: no request sees half of a reload.
    rules: RwLock<Arc<Rules>>,
    wrong_logins: Throttle,
    /// Wrong logins of an address in a minute.
    limit: u32,
}

/// The part of `[admin]` that a reload replaces.
struct Rules {
    /// None where no password is configured.
    credentials: Option<Credentials>,
    is_read_only: bool,
}

impl Access {
    /// As `[admin]` says.
    pub fn new(admin: &config::Admin, failed_logins: u32) -> Access {
        Access {
            rules: RwLock::new(Arc::new(Rules::new(admin))),
            wrong_logins: Throttle::new(),
            limit: failed_logins,
        }
    }

    /// Puts the password and `read_only` of `admin` in force for every later request.
    pub fn replace(&self, admin: &config::Admin) {
        let rules = Arc::new(Rules::new(admin));
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a page may offer operations: there is a password, and it is not all read-only.
    pub(super) fn offers_operations(&self) -> bool {
        let rules = self.rules();
        !rules.is_read_only && rules.credentials.is_some()
    }

    /// Whether nothing may be operated.
    pub(super) fn is_read_only(&self) -> bool {
        self.rules().is_read_only
    }

    /// `now` is in milliseconds since the epoch.
    pub(crate) fn judge(&self, request: &Request, now: i64) -> Result<(), Refusal> {
        let headers = request.headers();
        let peer = request.extensions().get::<Peer>();
        let address =
            peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address.ip().to_canonical());
        let rules = self.rules();
        let allowed =
            rules.credentials.as_ref().map(|credentials| credentials.allow(headers, None));
        match allowed {
            Some(true) => {}
            Some(false) => return Err(self.refuse(address, headers, now)),
            None if address.is_loopback() && names_this_machine(headers) => {}
            None => return Err(Refusal::Elsewhere),
        }
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(());
        }
        if rules.is_read_only {
            return Err(Refusal::ReadOnly);
        }
        match headers.contains_key(OPERATION_HEADER) {
            true => Ok(()),
            false => Err(Refusal::OtherSite),
        }
    }

    fn refuse(&self, address: IpAddr, headers: &HeaderMap, now: i64) -> Refusal {
        // A browser asks without credentials first.
        if !headers.contains_key(header::AUTHORIZATION) {
            return Refusal::Password;
        }
        let count = self.wrong_logins.count(address, now);
        if count == 1 && self.wrong_logins.may_say(now) {
            tracing::warn!(client = %address, "refused a wrong password on the admin listener");
        }
        if count > self.limit { Refusal::TooManyAttempts } else { Refusal::Password }
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Access")
            .field("is_read_only", &self.is_read_only())
            .finish_non_exhaustive()
    }
}

impl Rules {
    fn new(admin: &config::Admin) -> Rules {
        let credentials = admin.password.clone().map(|password| {
            Credentials::new(&[Credential::Basic { username: USERNAME.to_owned(), password }])
        });
        Rules { credentials, is_read_only: admin.is_read_only }
    }
}

/// Reason why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Password,
    TooManyAttempts,
    Elsewhere,
    ReadOnly,
    OtherSite,
}

/// Lets a request through that [`Access`] allows.
pub(super) async fn guard(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Response {
    let refusal = match admin.access.judge(&request, (admin.clock)()) {
        Ok(()) => return next.run(request).await,
        Err(refusal) => refusal,
    };
    let (status, message) = match refusal {
        Refusal::Password => {
            (StatusCode::UNAUTHORIZED, "this takes the user admin and admin.password")
        }
        Refusal::TooManyAttempts => {
            (StatusCode::TOO_MANY_REQUESTS, "too many wrong passwords; wait a minute")
        }
        Refusal::Elsewhere => (
            StatusCode::FORBIDDEN,
            "without admin.password this is for processes on this machine, by its own address",
        ),
        Refusal::ReadOnly => (StatusCode::FORBIDDEN, "admin.read_only is on"),
        Refusal::OtherSite => (
            StatusCode::FORBIDDEN,
            "operations are for the davinci-siem command and the console: a header is missing that \
             no other site can send",
        ),
    };
    let mut response = failure(status, message);
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Basic realm=\"davinci-siem\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

/// A page that was rebound to this address still sends its own name as `Host`.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.parse::<Authority>().map(|authority| authority.host().to_owned());
    let name = name.unwrap_or_default();
    let address: Result<IpAddr, _> = name.trim_matches(['[', ']']).parse();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
