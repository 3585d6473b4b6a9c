//! "Did you mean …?" In: a word and the words that there are. Out: the nearest, when it is near.

/// The candidate that differs from `word` in at most a third of its letters.
pub(super) fn near<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 3);
    let measured = candidates.into_iter().map(|candidate| (distance(word, candidate), candidate));
    let (_, best) = measured.filter(|(distance, _)| *distance <= limit).min()?;
    Some(best)
}

/// `did you mean …?`, when something is near.
pub(super) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    near(word, candidates).map(|near| format!("did you mean `{near}`?"))
}

/// How many letters must be added, removed or changed (Levenshtein), upper and lower case being the same.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.to_lowercase().chars().take(64).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, c) in from.to_lowercase().chars().take(64).enumerate() {
        let mut next = vec![line + 1];
        for ((other, pair), left) in to.iter().zip(row.windows(2)).zip(0..) {
            let &[diagonal, above] = pair else { continue };
            let beside = next.get(left).copied().unwrap_or(usize::MAX - 1);
            next.push((diagonal + usize::from(c != *other)).min(above + 1).min(beside + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_suggested() {
        let words = ["allow", "deny", "identity", "upstream"];
        let cases = [
            ("alow", Some("allow")),
            ("Allow", Some("allow")),
            ("upstraem", Some("upstream")),
            ("identities", Some("identity")),
            ("x", None),
            ("device_ca", None),
        ];
        for (word, expected) in cases {
            assert_eq!(near(word, words), expected, "{word}");
        }
    }
}
