//! Device certificates and the file of devices.

use crate::scene::{BASE, Scene, with};
use doorward::model::Fingerprint;

fn scene() -> Scene {
    let scene = Scene::new();
    scene.authority("ca.pem");
    scene
}

/// The messages of all errors, each with its help.
fn errors(scene: &Scene, yaml: &str) -> Vec<String> {
    scene
        .errors(yaml)
        .into_iter()
        .map(|error| format!("{}: {} ({})", error.place, error.message, error.help.unwrap_or_default()))
        .collect()
}

#[test]
fn what_asks_for_certificates_is_checked() {
    let scene = scene();
    scene.write("text.pem", "nothing");
    scene.write("crl.der", "\u{30}\u{3}\u{2}\u{1}\u{1}");
    let cases = [
        ("device_ca: none.pem", "tls.device_ca: can't read `none.pem`"),
        ("device_ca: text.pem", "tls.device_ca: `text.pem` has no certificate in PEM form"),
        ("device_ca: apps.pem", "is no certificate authority (name the authority that issues"),
        ("device_ca: ca.pem, device_crl: none.pem", "tls.device_crl: can't read `none.pem`"),
        ("device_ca: ca.pem, device_crl: text.pem", "tls.device_crl: `text.pem` has no list of revoked certificates"),
        ("device_ca: ca.pem, device_crl: ca.pem", "tls.device_crl: `ca.pem` has no list of revoked certificates"),
        ("device_ca: ca.pem, device_crl: crl.der", "tls.device_crl: `crl.der` has a list that can't be used"),
        ("device_crl: ca.pem", "tls.device_crl: this needs `device_ca`"),
        ("client_cert_header: true", "tls.client_cert_header: this needs `device_ca`"),
        ("device_ca: ca.pem, client_cert_header: true", "tls.client_cert_header: nobody is trusted to say this"),
    ];
    for (keys, message) in cases {
        let yaml = with("tls:\n", &format!("tls:\n  {}\n", keys.replace(", ", "\n  ")));
        let errors = errors(&scene, &yaml);
        assert!(errors.len() == 1 && errors[0].contains(message), "{keys}: {errors:?}");
    }
    let announced = BASE.replace("8443\" }", "8443\", proxy_protocol: true }");
    let announced = announced.replace("tls:\n", "trusted_proxies: [127.0.0.9]\ntls:\n  device_ca: ca.pem\n");
    scene.fine(&announced);
    let found = errors(&scene, &announced.replace("ca.pem\n", "ca.pem\n  client_cert_header: true\n"));
    assert!(found.len() == 1 && found[0].contains("with `listen.proxy_protocol` nobody would be believed"), "{found:?}");
    assert!(scene.fine(BASE).snapshot.tls.devices.is_none());
    assert!(scene.fine(&with("tls:\n", "tls:\n  device_ca: ca.pem\n")).snapshot.tls.devices.is_some());
}

fn listing(file: &str) -> String {
    format!("{BASE}devices: {{ file: {file} }}\n")
}

#[test]
fn a_file_lists_devices_as_csv_or_as_yaml() {
    let scene = scene();
    let fingerprint = "0A:".repeat(31) + "0a";
    scene.write(
        "devices.csv",
        &format!("id,owner,fingerprint,managed,tags,os_version\r\nmac-1,Alice@corp.example,{fingerprint},true,a b,\"14,6\"\r\n\r\nkiosk,shared,,,,\r\n"),
    );
    scene.write(
        "devices.yaml",
        &format!("devices:\n  - {{ id: mac-1, owner: Alice@corp.example, fingerprint: '{fingerprint}', managed: true, tags: [a, b], os_version: '14,6' }}\n  - {{ id: kiosk, owner: shared }}\n"),
    );
    for file in ["devices.csv", "devices.yaml"] {
        let loaded = scene.fine(&listing(file));
        assert_eq!((loaded.warnings, loaded.snapshot.devices.len()), (vec![], 2), "{file}");
        let device = loaded.snapshot.devices.by_fingerprint(Fingerprint([10; 32])).unwrap();
        assert_eq!((device.id.as_str(), device.managed, device.tags.len()), ("mac-1", true, 2));
        assert_eq!(device.os_version.as_deref(), Some("14,6"));
    }
}

#[test]
fn every_line_that_is_wrong_is_named_with_what_would_be_right() {
    let scene = scene();
    let fingerprint = "0a".repeat(32);
    scene.write(
        "devices.csv",
        &format!("id,owner,fingerprint,managed\na,shared,{fingerprint},yes\nb,shared,{fingerprint}\nb,nobody,12,true\nc,shared,,\nc,shared,,\nd,shared,{fingerprint},\ne,shared,{fingerprint},\n"),
    );
    let found = errors(&scene, &listing("devices.csv"));
    let expected = [
        "line 2: managed: `yes` is neither `true` nor `false`",
        "line 3: 3 values for 4 keys",
        "line 4: owner: `nobody` is no person (an e-mail address",
        "line 4: fingerprint: `12` is no fingerprint",
        "line 6: there are two devices `c`",
        "line 8: fingerprint: `d` has this certificate",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with("devices.file: `devices.csv`, ") && found.contains(expected), "{found}");
    }
    scene.write("devices.yaml", "devices:\n  - id: a\n    owner: nobody\n  - { id: a/b, owner: shared, manged: true }\n");
    let found = errors(&scene, &listing("devices.yaml")).join("\n");
    for expected in ["line 3: owner: `nobody` is no person", "line 4: id: `a/b` can't be", "line 4: ", "did you mean `managed`?"] {
        assert!(found.contains(expected), "{expected} in {found}");
    }
}

#[test]
fn a_file_that_is_no_list_of_devices_is_an_error() {
    let scene = scene();
    scene.write("devices.csv", "");
    scene.write("keys.csv", "id,owner,fingreprint\n");
    scene.write("quote.csv", "id,owner\n\"a,shared\n");
    scene.write("devices.yaml", "- a\n");
    scene.write("devices.txt", "id,owner\n");
    for (file, message) in [
        ("none.csv", "can't read `none.csv`"),
        ("devices.csv", "there is nothing in it"),
        ("keys.csv", "`fingreprint` is no key of a device (did you mean `fingerprint`?)"),
        ("quote.csv", "line 2: a quote is not closed"),
        ("devices.yaml", "`devices.yaml`, line 1: "),
        ("devices.txt", "neither CSV nor YAML"),
    ] {
        let found = errors(&scene, &listing(file));
        assert!(found.len() == 1 && found[0].contains(message), "{file}: {found:?}");
    }
}
