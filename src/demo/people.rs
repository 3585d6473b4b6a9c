//! The people of the demo: who they are, and what the demo identity provider says about them.
//!
//! In: nothing. Out: [`Person`] values. The passwords are public; they must never open anything real.

/// A person the demo identity provider knows. No `Debug`, so that the password reaches no log.
#[derive(Clone)]
pub struct Person {
    /// `sub`: opaque and stable, whatever happens to the address.
    pub subject: String,
    /// The address they sign in with, and the `email` claim.
    pub email: String,
    /// `email_verified`.
    pub email_verified: bool,
    /// `name`.
    pub name: String,
    /// `groups`.
    pub groups: Vec<String>,
    /// `department`, absent for a guest.
    pub department: Option<String>,
    /// What they sign in with.
    pub password: String,
}

/// Alice and Eve in engineering, Bob in finance, and Mallory, a guest from another company.
pub(super) fn everyone() -> Vec<Person> {
    vec![
        employee("8d1f6a0e52c94b37", "alice", "Alice Adams", "engineering"),
        employee("c27e90b4f1583da6", "eve", "Eve Evans", "engineering"),
        employee("47ab3cd9106e8f25", "bob", "Bob Brown", "finance"),
        Person {
            subject: "f3905e7b6c18d24a".into(),
            email: "mallory@partner.example".into(),
            email_verified: true,
            name: "Mallory Moore".into(),
            groups: Vec::new(),
            department: None,
            password: "mallory-demo".into(),
        },
    ]
}

fn employee(subject: &str, account: &str, name: &str, department: &str) -> Person {
    Person {
        subject: subject.into(),
        email: format!("{account}@corp.example"),
        email_verified: true,
        name: name.into(),
        groups: vec!["employees".into(), department.into()],
        department: Some(department.into()),
        password: format!("{account}-demo"),
    }
}
