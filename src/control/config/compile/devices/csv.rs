//! Devices in CSV (RFC 4180): a line of keys, then a line a device. In: text. Out: entries with their lines, and what is wrong.
//! Must never shift a value into another column.

use crate::control::config::findings::Wrong;
use crate::control::config::near::did_you_mean;
use crate::model::device::entry::{Entry, KEYS};
use serde_json::{Map, Value};

/// Something, and its line, counted from 1.
pub(super) type At<T> = (usize, T);

/// The entries of a file.
pub(super) fn entries(text: &str) -> (Vec<At<Entry>>, Vec<At<Wrong>>) {
    let mut rows = match rows(text.trim_start_matches('\u{feff}')) {
        Ok(rows) => rows.into_iter(),
        Err(wrong) => return (Vec::new(), vec![wrong]),
    };
    let keys = match rows.next() {
        Some((line, keys)) => header(keys).map_err(|wrong| (line, wrong)),
        None => Err((1, Wrong::new("there is nothing in it", "begin with a line of keys: `id,owner,fingerprint,managed`"))),
    };
    let keys = match keys {
        Ok(keys) => keys,
        Err(wrong) => return (Vec::new(), vec![wrong]),
    };
    let (mut entries, mut wrong) = (Vec::new(), Vec::new());
    for (line, cells) in rows {
        match entry(&keys, cells) {
            Ok(entry) => entries.push((line, entry)),
            Err(one) => wrong.push((line, one)),
        }
    }
    (entries, wrong)
}

fn header(keys: Vec<String>) -> Result<Vec<String>, Wrong> {
    for (index, key) in keys.iter().enumerate() {
        if !KEYS.contains(&key.as_str()) {
            let help = did_you_mean(key, KEYS).unwrap_or_else(|| format!("the keys are {}", KEYS.join(", ")));
            return Err(Wrong::new(format!("`{key}` is no key of a device"), help));
        }
        if keys.iter().take(index).any(|before| before == key) {
            return Err(Wrong::plain(format!("`{key}` is here twice")));
        }
    }
    Ok(keys)
}

fn entry(keys: &[String], cells: Vec<String>) -> Result<Entry, Wrong> {
    if keys.len() != cells.len() {
        let help = "a value for every key, an empty one where nothing is known; quotes around values with commas";
        return Err(Wrong::new(format!("{} values for {} keys", cells.len(), keys.len()), help));
    }
    let mut object = Map::new();
    for (key, cell) in keys.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
        object.insert(key.clone(), value(key, cell)?);
    }
    serde_json::from_value(Value::Object(object)).map_err(|error| Wrong::plain(error.to_string()))
}

fn value(key: &str, cell: String) -> Result<Value, Wrong> {
    match key {
        "disk_encryption" | "screen_lock" | "managed" | "compliant" => match &*cell {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(Wrong::new(format!("{key}: `{cell}` is neither `true` nor `false`"), "leave it empty where it is not known")),
        },
        "tags" => Ok(cell.split([' ', ';']).filter(|tag| !tag.is_empty()).collect()),
        _ => Ok(Value::String(cell)),
    }
}

/// The rows that have something in them. A quoted cell may hold commas, doubled quotes and line breaks.
fn rows(text: &str) -> Result<Vec<At<Vec<String>>>, At<Wrong>> {
    let (mut rows, mut line) = (Vec::new(), 1);
    let mut rest = text;
    while !rest.is_empty() {
        let (begun, mut cells) = (line, Vec::new());
        loop {
            let (cell, length) = cell(rest).ok_or_else(|| {
                (begun, Wrong::new("a quote is not closed as it should be", "write `\"a \"\"b\"\"\"` for a \"b\""))
            })?;
            let (read, after) = rest.split_at(length);
            line += read.matches('\n').count();
            cells.push(cell);
            rest = after;
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => break,
            }
        }
        rest = rest.strip_prefix('\r').unwrap_or(rest);
        if let Some(next) = rest.strip_prefix('\n') {
            (rest, line) = (next, line + 1);
        }
        if cells.iter().any(|cell| !cell.is_empty()) {
            rows.push((begun, cells));
        }
    }
    Ok(rows)
}

/// The first cell, and how long it is; nothing where its quotes can't be read.
fn cell(text: &str) -> Option<(String, usize)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let length = text.find([',', '\n']).unwrap_or(text.len());
        let cell = text.get(..length)?.trim();
        let length = if text.get(..length)?.ends_with('\r') { length - 1 } else { length };
        return (!cell.contains('"')).then(|| (cell.to_owned(), length));
    };
    let mut end = 0;
    loop {
        end += quoted.get(end..)?.find('"')?;
        match quoted.get(end + 1..).and_then(|after| after.chars().next()) {
            Some('"') => end += 2,
            None | Some(',' | '\r' | '\n') => return Some((quoted.get(..end)?.replace("\"\"", "\""), end + 2)),
            Some(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn cells_are_what_stands_between_commas_or_in_quotes() {
        let text = "a, b ,\"c, \"\"d\"\"\"\r\n\n,,\n\"two\nlines\",,x\nlast,\"\",";
        let read = rows(text).unwrap();
        let shown: Vec<_> = read.iter().map(|(line, cells)| format!("{line} {}", cells.join("|"))).collect();
        assert_eq!(shown, ["1 a|b|c, \"d\"", "4 two\nlines||x", "6 last||"]);
    }

    #[test]
    fn a_quote_that_is_not_closed_is_an_error_with_its_line() {
        for (text, line) in [("a\n\"b", 2), ("\"a\"b,c", 1), ("x\n\ny\na\"b\",c", 4)] {
            assert_eq!(rows(text).unwrap_err().0, line, "{text}");
        }
    }
}
