//! Trailers: none that an app or a client could take for a header of ours, or for one that frames, addresses or authorizes.

use crate::judge::{bytes, honest_on};
use crate::world::raw::{Got, Raw};
use crate::world::strict::{self, Fields};
use crate::world::tape::Act::Say;
use crate::world::{ALICE, TAPE, World};

const FORGED: &str = "forged";
/// Names that no trailer of a request may have.
const NEVER: [&str; 34] = [
    "X-Doorward-User",
    "x-doorward-assertion",
    "X_Doorward_Groups",
    "x.doorward.email",
    "X-DOORWARD-ANYTHING",
    "X-Remote-User",
    "x_remote_user",
    "X.Remote_User",
    "X-Remote-Groups",
    "X-Department",
    "X-Forwarded-For",
    "X_Forwarded_For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "Forwarded",
    "X-Real-IP",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Request-Id",
    "X-HTTP-Method-Override",
    "Host",
    "Content-Length",
    "content_length",
    "Transfer-Encoding",
    "Transfer_Encoding",
    "Connection",
    "Keep-Alive",
    "TE",
    "Trailer",
    "Upgrade",
    "Authorization",
    "Proxy-Authorization",
    "Cookie",
    "Content-Type",
];
/// Names that no trailer of an answer may have.
const NEVER_BACK: [&str; 9] = [
    "Set-Cookie",
    "X-Request-Id",
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
    "Upgrade",
    "Location",
    "Strict-Transport-Security",
    "Access-Control-Allow-Origin",
];

fn forged<'f>(fields: impl IntoIterator<Item = &'f Fields>) -> Vec<&'f str> {
    fields.into_iter().flatten().filter(|(_, value)| value.contains(FORGED)).map(|(name, _)| &**name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_trailer_of_a_request_passes_for_a_header_of_ours() {
    let world = World::start().await;
    let session = world.session(TAPE, ALICE).await;
    for (path, own) in [("/public/x", String::new()), ("/private", format!("Cookie: {session}\r\n"))] {
        for name in NEVER {
            for announced in [String::new(), format!("Trailer: {name}\r\n")] {
                world.tape.forget();
                let mut client = Raw::connect(&world, TAPE).await;
                let head = world.head("POST", TAPE, path, &format!("{own}{announced}Transfer-Encoding: chunked\r\n"));
                client.write(format!("{head}3\r\nabc\r\n0\r\n{name}: {FORGED}\r\n\r\n")).await;
                let got = client.answer(false).await;
                let arrived = world.tape.whole();
                if got.status() == 200 {
                    let request = &arrived[0];
                    assert_eq!(forged([&request.headers, &request.trailers]), Vec::<&str>::new(), "{path} {name}");
                    assert_eq!(request.body, b"abc");
                    let told = strict::values(&request.headers, "x-remote-user").collect::<Vec<_>>();
                    assert_eq!(told, if path == "/private" { vec![ALICE.0] } else { vec![] });
                    honest_on(&world, &mut client).await;
                } else {
                    assert_eq!((got.status(), arrived.len()), (400, 0), "{path} {name}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_trailer_of_an_answer_passes_for_a_header_of_ours() {
    let world = World::start().await;
    for name in NEVER_BACK {
        world.tape.forget();
        let head = format!("HTTP/1.1 200 OK\r\nTrailer: {name}\r\nTransfer-Encoding: chunked\r\n\r\n");
        world.tape.play(&[Say(bytes(&format!("{head}3\r\nabc\r\n0\r\n{name}: __Host-doorward={FORGED}\r\n\r\n")))]);
        let mut client = Raw::connect(&world, TAPE).await;
        client.write(world.head("GET", TAPE, "/public/x", "TE: trailers\r\nConnection: TE\r\n")).await;
        let Got::Answer(answer) = client.answer(false).await else { panic!("{name}: no answer") };
        assert_eq!((answer.status, &*answer.body), (200, &b"abc"[..]));
        assert_eq!(forged([&answer.headers, &answer.trailers]), Vec::<&str>::new(), "{name}");
        honest_on(&world, &mut client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_have_a_size_and_a_count() {
    let world = World::start().await;
    for trailers in ["X: 1\r\n".repeat(2000), format!("X: {}\r\n", "x".repeat(100_000)), "x".repeat(100_000)] {
        world.tape.forget();
        let mut client = Raw::connect(&world, TAPE).await;
        let head = world.head("POST", TAPE, "/public/x", "Transfer-Encoding: chunked\r\n");
        client.write(format!("{head}3\r\nabc\r\n0\r\n{trailers}\r\n")).await;
        assert!(matches!(client.answer(false).await.status(), 0 | 400));
        assert_eq!(client.rest().await, b"");
        assert_eq!(world.tape.whole().len(), 0);
    }
}
