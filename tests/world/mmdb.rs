//! Small databases of addresses, in MaxMind's format (version 2.0). In: IPv4 networks, each with a record. Out: bytes.

use std::time::{SystemTime, UNIX_EPOCH};

/// What a record is made of.
pub(crate) enum Data {
    Text(&'static str),
    Number(u32),
    Map(Vec<(&'static str, Data)>),
}

const DAY: u64 = 86_400;

/// `{ country: { iso_code: code } }`
pub(crate) fn country(code: &'static str) -> Data {
    Data::Map(vec![("country", Data::Map(vec![("iso_code", Data::Text(code))]))])
}

/// `{ registered_country: { iso_code: code } }`
pub(crate) fn registered(code: &'static str) -> Data {
    Data::Map(vec![("registered_country", Data::Map(vec![("iso_code", Data::Text(code))]))])
}

/// `{ autonomous_system_number: number }`
pub(crate) fn asn(number: u32) -> Data {
    Data::Map(vec![("autonomous_system_number", Data::Number(number))])
}

/// A database of these networks (their leading bytes), made so many days ago.
pub(crate) fn database(networks: &[(&[u8], Data)], days_old: u64) -> Vec<u8> {
    // Each node has two branches: another node, a record, or nothing.
    let mut nodes: Vec<[Option<Branch>; 2]> = vec![[None, None]];
    let mut data = Vec::new();
    for (network, record) in networks {
        let offset = data.len();
        write(&mut data, record);
        let bits: Vec<usize> = network.iter().flat_map(|byte| (0..8).rev().map(move |bit| usize::from(byte >> bit & 1))).collect();
        let (last, path) = bits.split_last().unwrap();
        let mut at = 0;
        for bit in path {
            at = match nodes[at][*bit] {
                Some(Branch::Node(next)) => next,
                _ => {
                    nodes.push([None, None]);
                    let next = nodes.len() - 1;
                    nodes[at][*bit] = Some(Branch::Node(next));
                    next
                }
            };
        }
        nodes[at][*last] = Some(Branch::Record(offset));
    }
    let count = nodes.len();
    let number = |branch: &Option<Branch>| match branch {
        Some(Branch::Node(node)) => *node,
        Some(Branch::Record(offset)) => count + 16 + offset,
        None => count,
    };
    let mut bytes: Vec<u8> =
        nodes.iter().flatten().flat_map(|branch| u32::try_from(number(branch)).unwrap().to_be_bytes()[1..].to_vec()).collect();
    bytes.extend([0; 16]);
    bytes.extend(data);
    bytes.extend(b"\xab\xcd\xefMaxMind.com");
    metadata(&mut bytes, count, days_old);
    bytes
}

#[derive(Clone, Copy)]
enum Branch {
    Node(usize),
    Record(usize),
}

fn metadata(bytes: &mut Vec<u8>, nodes: usize, days_old: u64) {
    let built = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - days_old * DAY;
    bytes.push(7 << 5 | 9);
    for (key, number) in
        [("binary_format_major_version", 2u16), ("binary_format_minor_version", 0), ("ip_version", 4), ("record_size", 24)]
    {
        text(bytes, key);
        bytes.push(5 << 5 | 2);
        bytes.extend(number.to_be_bytes());
    }
    text(bytes, "node_count");
    write(bytes, &Data::Number(u32::try_from(nodes).unwrap()));
    text(bytes, "build_epoch");
    bytes.extend([8, 2]);
    bytes.extend(built.to_be_bytes());
    text(bytes, "database_type");
    text(bytes, "Test");
    text(bytes, "languages");
    bytes.extend([1, 4]);
    text(bytes, "en");
    text(bytes, "description");
    write(bytes, &Data::Map(vec![("en", Data::Text("for tests"))]));
}

fn write(bytes: &mut Vec<u8>, data: &Data) {
    match data {
        Data::Text(value) => text(bytes, value),
        Data::Number(number) => {
            bytes.push(6 << 5 | 4);
            bytes.extend(number.to_be_bytes());
        }
        Data::Map(entries) => {
            bytes.push(7 << 5 | u8::try_from(entries.len()).unwrap());
            for (key, value) in entries {
                text(bytes, key);
                write(bytes, value);
            }
        }
    }
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()).unwrap() {
        short if short < 29 => bytes.push(2 << 5 | short),
        long => bytes.extend([2 << 5 | 29, long - 29]),
    }
    bytes.extend(text.as_bytes());
}
