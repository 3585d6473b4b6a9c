//! Where a request ends: lengths, codings and chunks. What two parsers could put the end of elsewhere is refused.

use crate::judge::Fate::{Awaited, Cut, Passes, Refused};
use crate::judge::{judge, post, smuggled};
use crate::world::World;

const FIVE: &str = "5\r\nabcde\r\n0\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_length_has_one_spelling() {
    let world = World::start().await;
    let cases = [
        ("Content-Length: 5\r\n", "abcde", true),
        ("content-length:5\r\n", "abcde", true),
        ("Content-Length: \t5 \t\r\n", "abcde", true),
        ("Content-Length: 0\r\n", "", true),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", "abcde", false),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "abcde", false),
        ("Content-Length: 0\r\nContent-Length: 5\r\n", "abcde", false),
        ("Content-Length: 5, 5\r\n", "abcde", false),
        ("Content-Length: 5, 6\r\n", "abcde", false),
        ("Content-Length: 05\r\n", "abcde", false),
        ("Content-Length: 00\r\n", "", false),
        ("Content-Length: +5\r\n", "abcde", false),
        ("Content-Length: -0\r\n", "", false),
        ("Content-Length: -1\r\n", "abcde", false),
        ("Content-Length: 5.0\r\n", "abcde", false),
        ("Content-Length: 5e0\r\n", "abcde", false),
        ("Content-Length: 0x5\r\n", "abcde", false),
        ("Content-Length: 5 5\r\n", "abcde", false),
        ("Content-Length: 5;\r\n", "abcde", false),
        ("Content-Length: \"5\"\r\n", "abcde", false),
        ("Content-Length: \u{b5}\r\n", "abcde", false),
        ("Content-Length: five\r\n", "abcde", false),
        ("Content-Length:\r\n", "abcde", false),
        ("Content-Length: ,5\r\n", "abcde", false),
        ("Content-Length: 99999999999999999999999999\r\n", "abcde", false),
        ("Content-Length: 18446744073709551621\r\n", "abcde", false),
        ("Content-Length: \u{b}5\r\n", "abcde", false),
        ("Content-Length: 5\0\r\n", "abcde", false),
        ("Content-Length : 5\r\n", "abcde", false),
        ("Content-Length\t: 5\r\n", "abcde", false),
        ("\u{0}Content-Length: 5\r\n", "abcde", false),
        (" Content-Length: 5\r\n", "abcde", false),
        ("X: 1\r\n Content-Length: 5\r\n", "abcde", false),
        ("Content-Length:\r\n 5\r\n", "abcde", false),
    ];
    let case = |(lines, body, passes)| match passes {
        true => (post(&world, lines) + body, Passes("POST", "/public/x", body)),
        false => (post(&world, lines) + body + &smuggled(&world), Refused(400)),
    };
    judge(&world, cases.map(case)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_is_too_large_for_any_body_is_refused() {
    let world = World::start().await;
    let cases = [
        ("18446744073709551615", Refused(431)),
        ("18446744073709551614", Refused(431)),
        ("18446744073709551613", Awaited),
        ("9223372036854775808", Awaited),
        ("6", Awaited),
    ];
    judge(&world, cases.map(|(length, fate)| (post(&world, &format!("Content-Length: {length}\r\n")) + "abcde", fate))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coding_is_chunked_and_nothing_else() {
    let world = World::start().await;
    let cases = [
        ("Transfer-Encoding: chunked\r\n", true),
        ("transfer-encoding:Chunked\r\n", true),
        ("TRANSFER-ENCODING: \tCHUNKED \t\r\n", true),
        ("Transfer-Encoding:\r\n", false),
        ("Transfer-Encoding: identity\r\n", false),
        ("Transfer-Encoding: gzip, chunked\r\n", false),
        ("Transfer-Encoding: chunked, gzip\r\n", false),
        ("Transfer-Encoding: chunked, chunked\r\n", false),
        ("Transfer-Encoding: chunked,\r\n", false),
        ("Transfer-Encoding: , chunked\r\n", false),
        ("Transfer-Encoding: chunked;q=1\r\n", false),
        ("Transfer-Encoding: \"chunked\"\r\n", false),
        ("Transfer-Encoding: xchunked\r\n", false),
        ("Transfer-Encoding: chunkedx\r\n", false),
        ("Transfer-Encoding: chunked chunked\r\n", false),
        ("Transfer-Encoding: \u{b}chunked\r\n", false),
        ("Transfer-Encoding: chunked\u{c}\r\n", false),
        ("Transfer-Encoding: chunked\u{a0}\r\n", false),
        ("Transfer-Encoding: \u{0}chunked\r\n", false),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", false),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", false),
        ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", false),
        ("Transfer-Encoding : chunked\r\n", false),
        ("Transfer-Encoding\t: chunked\r\n", false),
        ("Transfer Encoding: chunked\r\n", false),
        ("Transfer-Encoding\u{0}: chunked\r\n", false),
        (" Transfer-Encoding: chunked\r\n", false),
        ("X: 1\r\n\tTransfer-Encoding: chunked\r\n", false),
        ("Transfer-Encoding:\r\n chunked\r\n", false),
        ("X: 1\rTransfer-Encoding: chunked\r\n", false),
        (":Transfer-Encoding: chunked\r\n", false),
    ];
    let case = |(lines, passes)| match passes {
        true => (post(&world, lines) + FIVE, Passes("POST", "/public/x", "abcde")),
        false => (post(&world, lines) + FIVE + &smuggled(&world), Refused(400)),
    };
    judge(&world, cases.map(case)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_beside_a_coding_is_refused_in_every_order_and_spelling() {
    let world = World::start().await;
    let cases = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: nonsense\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length:\r\n",
        "transfer-encoding:chunked\r\nX: 1\r\ncontent-length:0\r\n",
        "CONTENT-LENGTH: 15\r\nX: 1\r\nTRANSFER-ENCODING: CHUNKED\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
        "Content-Length: 5\r\nTransfer-Encoding:\r\n",
    ];
    judge(&world, cases.map(|lines| (post(&world, lines) + FIVE + &smuggled(&world), Refused(400)))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_of_a_framing_header_reaches_no_app() {
    let world = World::start().await;
    let codings = ["Transfer_Encoding", "transfer.encoding", "Transfer~Encoding", "TRANSFER_ENCODING"].map(|name| {
        let head = post(&world, &format!("{name}: chunked\r\nContent-Length: 5\r\n"));
        (head + "0\r\n\r\n", Passes("POST", "/public/x", "0\r\n\r\n"))
    });
    let lengths = ["Content_Length", "content.length", "Content|Length"].map(|name| {
        let head = post(&world, &format!("{name}: 0\r\nTransfer-Encoding: chunked\r\n"));
        (head + FIVE, Passes("POST", "/public/x", "abcde"))
    });
    judge(&world, codings.into_iter().chain(lengths)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_has_no_coding() {
    let world = World::start().await;
    let old = |lines| post(&world, lines).replace("HTTP/1.1", "HTTP/1.0");
    judge(
        &world,
        [
            (old("Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n") + FIVE + &smuggled(&world), Refused(400)),
            (old("Transfer-Encoding: chunked\r\n") + FIVE + &smuggled(&world), Refused(400)),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_is_read_as_everybody_reads_it_or_not_at_all() {
    let world = World::start().await;
    let head = post(&world, "Transfer-Encoding: chunked\r\n");
    let long = |length: usize| format!("5;{}\r\nabcde\r\n0\r\n\r\n", "x".repeat(length));
    let passing = [
        (FIVE, "abcde"),
        ("0\r\n\r\n", ""),
        ("000\r\n\r\n", ""),
        ("2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n", "abcde"),
        ("000000005\r\nabcde\r\n0\r\n\r\n", "abcde"),
        ("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"),
        ("5;a\r\nabcde\r\n0;b=c\r\n\r\n", "abcde"),
        ("5;a=\"b;c\"\r\nabcde\r\n0\r\n\r\n", "abcde"),
        ("5 ;a = b\r\nabcde\r\n0\r\n\r\n", "abcde"),
        (&*long(15_000), "abcde"),
        ("7\r\n0\r\n\r\nab\r\n0\r\n\r\n", "0\r\n\r\nab"),
    ];
    judge(&world, passing.map(|(chunks, body)| (format!("{head}{chunks}"), Passes("POST", "/public/x", body)))).await;
    let broken = [
        "+5\r\nabcde",
        "-5\r\nabcde",
        "0x5\r\nabcde",
        " 5\r\nabcde",
        "\t5\r\nabcde",
        "\r\n5\r\nabcde",
        "\r\nabcde",
        ";a\r\nabcde",
        "5,\r\nabcde",
        "5 5\r\nabcde",
        "5.\r\nabcde",
        "g\r\nabcde",
        "\u{b5}\r\nabcde",
        "5\u{b}\r\nabcde",
        "5\0\r\nabcde",
        "10000000000000005\r\nabcde",
        "FFFFFFFFFFFFFFFFF\r\nabcde",
        "5\nabcde\r\n",
        "5\rabcde\r\n",
        "5\r\rabcde\r\n",
        "5\n\nabcde\r\n",
        "5;a\nabcde\r\n",
        "5;a\rb\r\nabcde\r\n",
        "5;a=\"\r\nabcde\"\r\nabcde\r\n",
        "5;a=\"\n\"\r\nabcde\r\n",
        "5\r\nabcde\n",
        "5\r\nabcde\r",
        "5\r\nabcdef",
        "4\r\nabcde",
        "6\r\nabcde\r\n",
        "5\r\nabcde0\r\n\r\n",
        "0\n\n",
        "0\r\n\n",
        "0\n\r\n",
        "0\r\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\nX : 1\r\n\r\n",
        "0\r\n X: 1\r\n\r\n",
        "0\r\nX: 1\n\n",
        "0\r\nX: 1\n\r\n",
        "0\r\nX: 1\r\n\n",
        "0\r\nX: 1\rY: 2\r\n\r\n",
        "0\r\nX: a\r\n b\r\n\r\n",
        &long(17_000),
    ];
    let case = |chunks| (format!("{head}{chunks}\r\n0\r\n\r\n{}", smuggled(&world)), Cut);
    judge(&world, broken.map(case)).await;
    let unfinished = [
        "FFFFFFFFFFFFFFFF\r\nabcde\r\n0\r\n\r\n",
        "7FFFFFFFFFFFFFFF\r\nabcde",
        "5\r\nabc",
        "5\r\nabcde\r\n",
        "0\r\n",
        "5",
        "0\r\nX: 1\r\n",
    ];
    judge(&world, unfinished.map(|chunks| (format!("{head}{chunks}"), Awaited))).await;
}
