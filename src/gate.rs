//! The data plane: the life of one request, from top to bottom. In: connections. Out: answers, and one audit record each.
//! Must never forward a request without a [`decide::Permit`].
//!
//! ```text
//! listen → tls → visit → target → route → (limit) → session → identity → signals → decide → (limit) → headers → upstream → (respond) → audit
//!                                                                                           or fixed
//! ```

pub mod audit;
pub mod body;
pub mod decide;
pub mod device;
pub mod fixed;
pub mod headers;
pub mod identity;
pub mod limit;
pub mod listen;
pub mod respond;
pub mod right;
pub mod route;
pub mod session;
pub mod signals;
pub mod target;
mod tls;
pub mod upstream;
pub mod visit;
mod websocket;

use crate::model::{Reason, Refusal};
use body::{RequestBody, ResponseBody};
use decide::Permit;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use route::{Place, Routed};
use target::Target;
use visit::Visit;

/// Answers one request; the answer's body carries the audit record to its end.
pub fn serve(mut visit: Box<Visit>, request: Request<Incoming>) -> impl Future<Output = Response<ResponseBody>> {
    // On the heap: by value, the future of each room would have a place of its own for it, and all are copied when a task begins.
    let request = Box::new(RequestBody::of(request));
    async move {
        let manner = respond::Manner::read(&request);
        let mut response = match walk(&mut visit, request).await {
            Ok(mut response) => {
                respond::prepare(&manner, &mut response);
                response
            }
            Err(refusal) => respond::refuse(&mut visit, &manner, &refusal),
        };
        if visit.trail.method == Method::HEAD {
            ResponseBody::head_only(&mut response);
        }
        audit::follow(visit, response)
    }
}

async fn walk(visit: &mut Visit, mut request: Box<Request<RequestBody>>) -> Result<Response<ResponseBody>, Refusal> {
    audit::admit(visit).await?;
    websocket::unify(&mut request);
    visit.trail.method.clone_from(request.method());
    let target = target::read(&request)?;
    visit.trail.target = Some(target.clone());
    if !visit.client_is_clear {
        return Err(Reason::BadRequest.into());
    }
    let snapshot = visit.snapshot.clone();
    match route::find(&snapshot, &target)? {
        // What is seldom gone through is kept off the future of every request: it is copied when it begins.
        Place::Reserved(site) => Box::pin(visit::hand_over(visit, &target, site, *request)).await,
        Place::Route(place) => {
            let (request, permit) = judge(visit, &target, &place, request).await?;
            let mut response = answer(visit, &target, &place, permit, request).await?;
            headers::response::complete(response.headers_mut(), place.app);
            Ok(response)
        }
    }
}

async fn answer(
    visit: &mut Visit,
    target: &Target,
    place: &Routed<'_>,
    permit: Permit,
    mut request: Box<Request<RequestBody>>,
) -> Result<Response<ResponseBody>, Refusal> {
    if let Some(answer) = fixed::find(target, place) {
        return fixed::answer(visit, target, place.app, &answer, &permit);
    }
    limit::body(place.app, &mut request)?;
    let mut response = upstream::forward(visit, place.app, permit, request).await?;
    headers::response::put_right(response.headers_mut(), target, place.app);
    Ok(response)
}

/// The part of the walk between knowing what is asked for and forwarding it: who asks, whether they may, and what the app is
/// told. Does no I/O when the session is cached.
pub async fn judge<B>(
    visit: &mut Visit,
    target: &Target,
    place: &Routed<'_>,
    request: Box<Request<B>>,
) -> Result<(Box<Request<B>>, Permit), Refusal> {
    visit.trail.place(place);
    limit::address(visit, place.app)?;
    device::admit(visit.circumstances())?;
    let permit = match decide::for_anybody(place, &request) {
        Some(decided) => decided?,
        None => {
            let session = session::look_up(visit, target, request.headers()).await?;
            let identity = identity::resolve(visit, place, session);
            let signals = signals::gather(visit, target, place, &identity, &request)?;
            let decided = decide::evaluate(visit, place, identity, &signals);
            if decided.is_err() {
                visit.trail.refused = Some(Box::new(signals));
            }
            decided?
        }
    };
    limit::enter(visit, place.app, &permit)?;
    let request = headers::rewrite(visit, target, place, &permit, request)?;
    Ok((request, permit))
}
