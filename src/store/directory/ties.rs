//! What ties people to entries of a directory. In: what tokens say of some people. Out: for each, what the directory has. Must never
//! forget who an entry was: that names are changed, or given to others, lets nobody in who is out.

use super::super::Error;
use crate::model::directory::{Entry, Found, Overlay};
use crate::model::identity::MOST_GROUPS;
use crate::model::{Identity, ProviderName, SignInId};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use std::collections::{BTreeSet, HashMap};

/// How many are asked for, or written, with one statement.
pub(super) const AT_ONCE: usize = 200;

const ENTRIES: &str =
    "SELECT id, external_id, user_mail, primary_mail, entry FROM directory WHERE provider = $1 AND kind = 'user' AND";
const DELETED: &str = "SELECT id, external_id, user_mail, primary_mail, '' AS entry FROM directory_deleted WHERE provider = $1 AND";
const TIES: &str = "SELECT t.entry AS id, t.kind, t.value, d.entry, x.id AS deleted FROM directory_ties t
    LEFT JOIN directory d ON d.id = t.entry LEFT JOIN directory_deleted x ON x.id = t.entry WHERE t.provider = $1 AND";

/// What the directory has for somebody, and the entry that it is about: none where there are several, of which nobody is chosen.
pub(super) struct Tied {
    pub(super) found: Found,
    pub(super) entry: Option<String>,
}

/// An entry, or one that was deleted, with what it is found by.
struct Row {
    id: String,
    external_id: Option<String>,
    user_mail: Option<String>,
    primary_mail: Option<String>,
    entry: Entry,
}

/// What an entry was found by, and what became of it.
struct Past {
    kind: String,
    value: String,
    id: String,
    found: Found,
}

/// What people are found by.
struct Keys<'a> {
    provider: &'a ProviderName,
    subjects: Vec<&'a str>,
    emails: Vec<&'a str>,
}

/// All that a directory has for some people.
struct Known {
    entries: Vec<Row>,
    deleted: Vec<Row>,
    past: Vec<Past>,
}

/// What the directory of a provider has for these people, [`AT_ONCE`] at most.
pub(super) async fn find(
    connection: &mut AnyConnection,
    provider: &ProviderName,
    overlay: &Overlay,
    people: &[&Identity],
) -> Result<Vec<Tied>, Error> {
    let keys = Keys {
        provider,
        subjects: people.iter().map(|person| &*person.subject.subject).collect(),
        emails: people.iter().filter_map(|person| email(person)).collect(),
    };
    let known = keys.look_up(connection).await?;
    let mut tied: Vec<Tied> = people.iter().map(|person| known.of(overlay, person)).collect();
    add_groups(connection, &mut tied).await?;
    Ok(tied)
}

fn email(person: &Identity) -> Option<&str> {
    person.profile.email.as_ref().map(|email| email.as_str())
}

/// What finds so many subjects and addresses: entries, those that were deleted, and what was.
pub(super) fn lookups(subjects: usize, emails: usize) -> [String; 3] {
    let (subjects, emails) = (places(2, subjects), places(2 + subjects, emails));
    let of_rows = |select: &str| {
        format!(
            "{select} external_id IN ({subjects}) UNION {select} user_mail IN ({emails}) UNION {select} primary_mail IN ({emails})"
        )
    };
    let past = format!(
        "{TIES} t.kind = 'subject' AND t.value IN ({subjects}) UNION {TIES} t.kind = 'external_id' AND t.value IN ({subjects})
         UNION {TIES} t.kind = 'email' AND t.value IN ({emails})"
    );
    [of_rows(ENTRIES), of_rows(DELETED), past]
}

impl Keys<'_> {
    async fn look_up(&self, connection: &mut AnyConnection) -> Result<Known, Error> {
        let [entries, deleted, past] = lookups(self.subjects.len(), self.emails.len());
        let entries = self.rows(&mut *connection, entries).await?;
        let deleted = self.rows(&mut *connection, deleted).await?;
        let past = self.rows(&mut *connection, past).await?;
        Ok(Known {
            entries: entries.iter().map(Row::read).collect::<Result<_, _>>()?,
            deleted: deleted.iter().map(Row::read).collect::<Result<_, _>>()?,
            past: past.iter().filter_map(|row| Past::read(row).transpose()).collect::<Result<_, _>>()?,
        })
    }

    async fn rows(&self, connection: &mut AnyConnection, text: String) -> Result<Vec<AnyRow>, Error> {
        let query = sqlx::query(AssertSqlSafe(text)).bind(self.provider.as_str());
        let values = self.subjects.iter().chain(&self.emails);
        Ok(values.fold(query, |query, value| query.bind((*value).to_owned())).fetch_all(connection).await?)
    }
}

impl Known {
    /// By what the configuration says, one after the other. What is sure goes before what was, and that before an address.
    fn of(&self, overlay: &Overlay, person: &Identity) -> Tied {
        let subject = Some(&*person.subject.subject);
        let by_id = subject.filter(|_| overlay.by_external_id);
        let by_email = email(person).filter(|_| overlay.by_email);
        let has_id = |row: &&Row| by_id.is_some() && row.external_id.as_deref() == by_id;
        let has_email =
            |row: &&Row| by_email.is_some() && (row.user_mail.as_deref() == by_email || row.primary_mail.as_deref() == by_email);
        let was = |kind: &str, value: Option<&str>| self.past.iter().find(|past| past.kind == kind && Some(&*past.value) == value);
        let deleted = |is: &dyn Fn(&&Row) -> bool| self.deleted.iter().find(is).map(Tied::deleted);
        let tied = one_of(self.entries.iter().filter(has_id));
        let tied = tied.or_else(|| deleted(&has_id));
        let tied = tied.or_else(|| was("subject", subject).or_else(|| was("external_id", by_id)).map(Tied::out));
        let tied = tied.or_else(|| one_of(self.entries.iter().filter(has_email)));
        let tied = tied.or_else(|| deleted(&has_email)).or_else(|| was("email", by_email).map(Tied::out));
        tied.unwrap_or(Tied { found: Found::Nobody, entry: None })
    }
}

/// One entry, or several of which none is chosen; nothing where there is none.
fn one_of<'r>(rows: impl Iterator<Item = &'r Row>) -> Option<Tied> {
    let rows: Vec<&Row> = rows.collect();
    let found = match rows.as_slice() {
        [] => return None,
        [row] => Found::One(row.entry.clone()),
        rows => Found::Several(rows.iter().map(|row| row.entry.clone()).collect()),
    };
    let only = if let [row] = rows.as_slice() { Some(row) } else { None };
    Some(Tied { found, entry: only.map(|row| row.id.clone()) })
}

impl Tied {
    fn deleted(row: &Row) -> Self {
        Self { found: Found::Deleted, entry: Some(row.id.clone()) }
    }

    fn out(past: &Past) -> Self {
        Self { found: past.found.clone(), entry: Some(past.id.clone()) }
    }
}

impl Row {
    fn read(row: &AnyRow) -> Result<Self, Error> {
        Ok(Self {
            id: row.try_get("id")?,
            external_id: row.try_get("external_id")?,
            user_mail: row.try_get("user_mail")?,
            primary_mail: row.try_get("primary_mail")?,
            entry: parse(row.try_get("entry")?)?,
        })
    }
}

impl Past {
    /// Nothing where the entry is active, or was made anew: then it keeps nobody out.
    fn read(row: &AnyRow) -> Result<Option<Self>, Error> {
        let entry: Option<String> = row.try_get("entry")?;
        let is_deleted = row.try_get::<Option<String>, _>("deleted")?.is_some();
        let found = match entry.as_deref().map(parse).transpose()? {
            _ if is_deleted => Found::Deleted,
            Some(entry) if !entry.active => Found::One(entry),
            _ => return Ok(None),
        };
        Ok(Some(Self { kind: row.try_get("kind")?, value: row.try_get("value")?, id: row.try_get("id")?, found }))
    }
}

/// What decisions read of an entry; one that was deleted has nothing.
fn parse(text: &str) -> Result<Entry, Error> {
    if text.is_empty() {
        return Ok(Entry::default());
    }
    serde_json::from_str(text).map_err(|_| Error::Damaged("directory"))
}

async fn add_groups(connection: &mut AnyConnection, tied: &mut [Tied]) -> Result<(), Error> {
    let ids: Vec<String> =
        tied.iter().filter(|tied| matches!(tied.found, Found::One(_))).filter_map(|tied| tied.entry.clone()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    // One more than anybody may have is enough to know that there are too many.
    let text = format!(
        "SELECT user_id, shown FROM
           (SELECT m.user_id, d.shown, ROW_NUMBER() OVER (PARTITION BY m.user_id ORDER BY m.group_id) AS number
            FROM directory_members m JOIN directory d ON d.id = m.group_id WHERE m.user_id IN ({})) AS numbered
         WHERE number <= {MOST_GROUPS} + 1",
        places(1, ids.len())
    );
    let rows = ids.iter().fold(sqlx::query(AssertSqlSafe(text)), |query, id| query.bind(id)).fetch_all(connection).await?;
    let mut groups: HashMap<String, Vec<String>> = HashMap::new();
    for row in &rows {
        groups.entry(row.try_get("user_id")?).or_default().push(row.try_get("shown")?);
    }
    for tied in tied {
        let groups = tied.entry.as_ref().and_then(|id| groups.get(id));
        if let (Found::One(entry), Some(groups)) = (&mut tied.found, groups) {
            entry.groups.clone_from(groups);
        }
    }
    Ok(())
}

/// Remembers what these entries were found by: the entry, the kind, the value.
pub(super) async fn remember(
    connection: &mut AnyConnection,
    provider: &ProviderName,
    ties: &[(String, &str, String)],
) -> Result<(), Error> {
    for some in ties.chunks(AT_ONCE) {
        let row = |index| format!("($1, ${}, ${}, ${})", index * 3 + 2, index * 3 + 3, index * 3 + 4);
        let rows: Vec<String> = (0..some.len()).map(row).collect();
        let text =
            format!("INSERT INTO directory_ties (provider, entry, kind, value) VALUES {} ON CONFLICT DO NOTHING", rows.join(", "));
        let query = sqlx::query(AssertSqlSafe(text)).bind(provider.as_str());
        let bound = some.iter().fold(query, |query, (entry, kind, value)| query.bind(entry).bind((*kind).to_owned()).bind(value));
        bound.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The sign-ins that these entries concern, or concerned before they were changed.
pub(super) async fn concerned(connection: &mut AnyConnection, entries: &[String]) -> Result<BTreeSet<SignInId>, Error> {
    let mut concerned = BTreeSet::new();
    for some in entries.chunks(AT_ONCE) {
        let text = AssertSqlSafe(whose(some.len()));
        let query = some.iter().fold(sqlx::query_scalar::<_, i64>(text), |query, id| query.bind(id));
        concerned.extend(query.fetch_all(&mut *connection).await?.into_iter().map(SignInId));
    }
    Ok(concerned)
}

/// What finds the sign-ins of so many entries.
pub(super) fn whose(entries: usize) -> String {
    let ids = places(1, entries);
    let by_email = |column: &str| {
        format!(
            "SELECT s.id FROM directory d JOIN sign_ins s ON s.email = d.{column} JOIN users u ON u.id = s.user_id
             WHERE u.provider = d.provider AND d.id IN ({ids})"
        )
    };
    format!(
        "SELECT s.id FROM directory d JOIN users u ON u.provider = d.provider AND u.subject = d.external_id
         JOIN sign_ins s ON s.user_id = u.id WHERE d.id IN ({ids})
         UNION {} UNION {}
         UNION SELECT s.id FROM directory_ties t JOIN users u ON u.provider = t.provider AND u.subject = t.value
         JOIN sign_ins s ON s.user_id = u.id WHERE t.kind <> 'email' AND t.entry IN ({ids})
         UNION SELECT s.id FROM directory_ties t JOIN sign_ins s ON s.email = t.value JOIN users u ON u.id = s.user_id
         WHERE u.provider = t.provider AND t.kind = 'email' AND t.entry IN ({ids})",
        by_email("user_mail"),
        by_email("primary_mail")
    )
}

/// Placeholders from this number on, so many; nothing is equal to what stands there when there are none.
pub(super) fn places(first: usize, count: usize) -> String {
    if count == 0 {
        return "NULL".to_owned();
    }
    (first..first + count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}
