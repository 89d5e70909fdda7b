//! Access to events and operations: with the admin password, or without one from processes on this machine.
//! Requests that a browser sends for another site are refused.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::operations::failure;
use super::{Admin, OPERATION_HEADER};
use crate::admin::AdminConfig;
use crate::listener::Peer;
use crate::receive::Credential;
use crate::receive::{Credentials, Throttle};

/// User name of the admin password.
pub(crate) const USERNAME: &str = "admin";

/// Access checks of the admin listener.
pub struct Access {
    /// Replaced as a whole: no request sees a part of a reload.
    rules: RwLock<Arc<AccessRules>>,
    wrong_logins: Throttle,
    /// Maximum number of wrong logins per address and minute.
    limit: u32,
}

/// Part of `[admin]` that a reload replaces.
struct AccessRules {
    /// `None` if no password is configured.
    credentials: Option<Credentials>,
    is_read_only: bool,
}

impl Access {
    /// Creates the checks of `[admin]`.
    pub fn new(admin: &AdminConfig, failed_logins: u32) -> Access {
        Access {
            rules: RwLock::new(Arc::new(AccessRules::new(admin))),
            wrong_logins: Throttle::new(),
            limit: failed_logins,
        }
    }

    /// Applies the password and `read_only` of `admin` to later requests.
    pub fn replace(&self, admin: &AdminConfig) {
        let rules = Arc::new(AccessRules::new(admin));
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    fn rules(&self) -> Arc<AccessRules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns true if pages may offer operations: a password is set, and `read_only` is off.
    pub(super) fn offers_operations(&self) -> bool {
        let rules = self.rules();
        !rules.is_read_only && rules.credentials.is_some()
    }

    /// Returns true if a password is required.
    pub(super) fn has_password(&self) -> bool {
        self.rules().credentials.is_some()
    }

    /// Returns true if operations are refused.
    pub(super) fn is_read_only(&self) -> bool {
        self.rules().is_read_only
    }

    /// Checks a request. `now` is in ms since the Unix epoch.
    pub(crate) fn judge(&self, request: &Request, now: i64) -> Result<(), AccessRefusal> {
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
            None => return Err(AccessRefusal::Elsewhere),
        }
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(());
        }
        if rules.is_read_only {
            return Err(AccessRefusal::ReadOnly);
        }
        match headers.contains_key(OPERATION_HEADER) {
            true => Ok(()),
            false => Err(AccessRefusal::OtherSite),
        }
    }

    fn refuse(&self, address: IpAddr, headers: &HeaderMap, now: i64) -> AccessRefusal {
        // Browsers send the first request without credentials.
        if !headers.contains_key(header::AUTHORIZATION) {
            return AccessRefusal::Password;
        }
        let count = self.wrong_logins.count(address, now);
        if count == 1 && self.wrong_logins.may_log(now) {
            tracing::warn!(client = %address, "refused a wrong password on the admin listener");
        }
        if count > self.limit { AccessRefusal::TooManyAttempts } else { AccessRefusal::Password }
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Access")
            .field("is_read_only", &self.is_read_only())
            .finish_non_exhaustive()
    }
}

impl AccessRules {
    fn new(admin: &AdminConfig) -> AccessRules {
        let credentials = admin.password.clone().map(|password| {
            Credentials::new(&[Credential::Basic { username: USERNAME.to_owned(), password }])
        });
        AccessRules { credentials, is_read_only: admin.is_read_only }
    }
}

/// Reason why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccessRefusal {
    Password,
    TooManyAttempts,
    Elsewhere,
    ReadOnly,
    OtherSite,
}

impl AccessRefusal {
    /// Returns the reason's name, for metrics.
    fn as_str(self) -> &'static str {
        match self {
            AccessRefusal::Password => "password",
            AccessRefusal::TooManyAttempts => "too_many_attempts",
            AccessRefusal::Elsewhere => "elsewhere",
            AccessRefusal::ReadOnly => "read_only",
            AccessRefusal::OtherSite => "other_site",
        }
    }
}

/// Passes requests on that [`Access`] allows, and answers the others.
pub(super) async fn guard(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Response {
    let refusal = match admin.access.judge(&request, (admin.clock)()) {
        Ok(()) => return next.run(request).await,
        Err(refusal) => refusal,
    };
    admin.metrics.admin_refused.with_label_values(&[refusal.as_str()]).inc();
    let (status, message) = match refusal {
        AccessRefusal::Password => {
            (StatusCode::UNAUTHORIZED, "log in as user admin with admin.password")
        }
        AccessRefusal::TooManyAttempts => {
            (StatusCode::TOO_MANY_REQUESTS, "too many wrong passwords; wait a minute")
        }
        AccessRefusal::Elsewhere => (
            StatusCode::FORBIDDEN,
            "without admin.password, only processes on this machine have access, by a loopback address",
        ),
        AccessRefusal::ReadOnly => (StatusCode::FORBIDDEN, "admin.read_only is on"),
        AccessRefusal::OtherSite => (
            StatusCode::FORBIDDEN,
            "the header x-davinci-siem-operation is missing; it proves that the request comes from the \
             davinci-siem command or the console, and not from another site",
        ),
    };
    let mut response = failure(status, message);
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Basic realm=\"davinci-siem\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

/// Returns true if `Host` names this machine. After DNS rebinding, `Host` is the name of the other site.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.parse::<Authority>().map(|authority| authority.host().to_owned());
    let name = name.unwrap_or_default();
    let address: Result<IpAddr, _> = name.trim_matches(['[', ']']).parse();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
