//! The attributes, one by one.

use super::Type::{Binary, Complex, Reference, Text, Time, Truth};
use super::{Attribute, Schema};

/// What every resource has.
pub(super) const COMMON: &[Attribute] = &[
    Attribute::new("id", Text, "Doorward's id of the resource.").exact().read_only().always().unique(),
    Attribute::new("externalId", Text, "The client's id of the resource.").exact(),
    Attribute::new("schemas", Reference, "The schemas of the resource.").many().always(),
    Attribute::new("meta", Complex, "What is known of the resource itself.").read_only().of(&[
        Attribute::new("resourceType", Text, "What it is.").exact().read_only(),
        Attribute::new("created", Time, "When it was made.").read_only(),
        Attribute::new("lastModified", Time, "When it was last changed.").read_only(),
        Attribute::new("location", Reference, "Where it is.").read_only(),
        Attribute::new("version", Text, "Its entity tag.").exact().read_only(),
    ]),
];

const PRIMARY: Attribute = Attribute::new("primary", Truth, "Whether it is the preferred one; at most one is.");
const DISPLAY: Attribute = Attribute::new("display", Text, "A name for people.");
const LABELLED: &[Attribute] =
    &[Attribute::new("value", Text, "The value."), DISPLAY, Attribute::new("type", Text, "What it is for."), PRIMARY];

pub(in crate::control::scim) static USER: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:core:2.0:User",
    name: "User",
    about: "A person.",
    attributes: &[
        Attribute::new("userName", Text, "The name that the person signs in with.").required().unique(),
        Attribute::new("name", Complex, "The parts of the person's name.").of(&[
            Attribute::new("formatted", Text, "The whole name."),
            Attribute::new("familyName", Text, "The family name."),
            Attribute::new("givenName", Text, "The given name."),
            Attribute::new("middleName", Text, "Other names."),
            Attribute::new("honorificPrefix", Text, "What comes before the name."),
            Attribute::new("honorificSuffix", Text, "What comes behind the name."),
        ]),
        Attribute::new("displayName", Text, "What to call the person."),
        Attribute::new("nickName", Text, "What friends call the person."),
        Attribute::new("profileUrl", Reference, "A page about the person.").to(&["external"]),
        Attribute::new("title", Text, "The person's title."),
        Attribute::new("userType", Text, "How the person belongs to the organization."),
        Attribute::new("preferredLanguage", Text, "The person's languages."),
        Attribute::new("locale", Text, "Where the person is, for formats."),
        Attribute::new("timezone", Text, "The person's time zone."),
        Attribute::new("active", Truth, "Whether the person may sign in; so it is where nothing is said."),
        Attribute::new("emails", Complex, "Addresses.").many().of(&[
            Attribute::new("value", Text, "The address."),
            DISPLAY,
            Attribute::new("type", Text, "What it is for.").one_of(&["work", "home", "other"]),
            PRIMARY,
        ]),
        Attribute::new("phoneNumbers", Complex, "Telephone numbers.").many().of(&[
            Attribute::new("value", Text, "The number."),
            DISPLAY,
            Attribute::new("type", Text, "What it is for.").one_of(&["work", "home", "mobile", "fax", "pager", "other"]),
            PRIMARY,
        ]),
        Attribute::new("ims", Complex, "Addresses for instant messages.").many().of(LABELLED),
        Attribute::new("photos", Complex, "Pictures.").many().of(&[
            Attribute::new("value", Reference, "Where the picture is.").to(&["external"]),
            DISPLAY,
            Attribute::new("type", Text, "What size it has.").one_of(&["photo", "thumbnail"]),
            PRIMARY,
        ]),
        Attribute::new("addresses", Complex, "Where the person lives and works.").many().of(&[
            Attribute::new("formatted", Text, "The whole address."),
            Attribute::new("streetAddress", Text, "Street and house."),
            Attribute::new("locality", Text, "City."),
            Attribute::new("region", Text, "State or region."),
            Attribute::new("postalCode", Text, "Postal code."),
            Attribute::new("country", Text, "Country."),
            Attribute::new("type", Text, "What it is for.").one_of(&["work", "home", "other"]),
            PRIMARY,
        ]),
        Attribute::new("groups", Complex, "The groups that the person is in.").many().read_only().of(&[
            Attribute::new("value", Text, "The group's id.").exact().read_only(),
            Attribute::new("$ref", Reference, "Where the group is.").read_only().to(&["Group"]),
            Attribute::new("display", Text, "The group's name.").read_only(),
            Attribute::new("type", Text, "Always `direct`.").read_only().one_of(&["direct"]),
        ]),
        Attribute::new("entitlements", Complex, "What the person is entitled to.").many().of(LABELLED),
        Attribute::new("roles", Complex, "The person's roles.").many().of(LABELLED),
        Attribute::new("x509Certificates", Complex, "Certificates.").many().of(&[
            Attribute::new("value", Binary, "The certificate, DER in base64."),
            DISPLAY,
            Attribute::new("type", Text, "What it is for."),
            PRIMARY,
        ]),
    ],
};

pub(in crate::control::scim) static ENTERPRISE: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
    name: "EnterpriseUser",
    about: "What an organization knows of its people.",
    attributes: &[
        Attribute::new("employeeNumber", Text, "The person's number."),
        Attribute::new("costCenter", Text, "The cost center."),
        Attribute::new("organization", Text, "The organization."),
        Attribute::new("division", Text, "The division."),
        Attribute::new("department", Text, "The department."),
        Attribute::new("manager", Complex, "The person's manager.").of(&[
            Attribute::new("value", Text, "The manager's id.").exact(),
            Attribute::new("$ref", Reference, "Where the manager is.").to(&["User"]),
            Attribute::new("displayName", Text, "What the manager is called.").read_only(),
        ]),
    ],
};

pub(in crate::control::scim) static GROUP: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:core:2.0:Group",
    name: "Group",
    about: "A group of people.",
    attributes: &[
        Attribute::new("displayName", Text, "The name of the group, as rules know it.").required().unique(),
        Attribute::new("members", Complex, "Who is in it.").many().of(&[
            Attribute::new("value", Text, "The user's id.").exact().immutable(),
            Attribute::new("$ref", Reference, "Where the user is.").immutable().to(&["User"]),
            Attribute::new("type", Text, "Always `User`.").immutable().one_of(&["User"]),
        ]),
    ],
};
