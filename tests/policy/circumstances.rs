//! Facts and conditions for the tests.

use doorward::model::device::Standing;
use doorward::model::{Device, DeviceFacts, Observed, Owner, Risk, RiskLevel, Source, Timestamp};
use doorward::policy::condition::{DeviceTest, Labelled, Version};
use doorward::policy::{Authentication, Condition, Facts, Test};
use http::Method;
use std::sync::Arc;
use std::time::Duration;

/// A Monday, at noon in UTC.
pub(crate) const NOON: Timestamp = Timestamp::from_seconds(1_767_614_400);

pub(crate) fn observed<T>(value: T, stale: bool) -> Observed<T> {
    let expires_at = Timestamp::from_seconds(if stale { NOON.seconds() - 1 } else { NOON.seconds() + 600 });
    Observed {
        value,
        source: Source::Inventory,
        observed_at: Timestamp::from_seconds(NOON.seconds() - 60),
        expires_at: Some(expires_at),
    }
}

pub(crate) fn device(standing: Standing) -> DeviceFacts {
    let device = Device {
        id: "lap-7".to_owned(),
        owner: Owner::Shared,
        fingerprint: None,
        platform: Some("macos".to_owned()),
        os_version: Some("14.6.1".to_owned()),
        disk_encryption: Some(true),
        screen_lock: None,
        managed: true,
        compliant: Some(false),
        tags: vec!["finance".to_owned()],
        reported_at: NOON,
        expires_at: None,
    };
    DeviceFacts { standing, device: Some(Arc::new(device)) }
}

pub(crate) fn risk(level: RiskLevel) -> Arc<Risk> {
    Arc::new(Risk { level, reasons: Vec::new() })
}

/// Nothing is known but the time.
pub(crate) fn silence() -> Facts {
    let authentication = Authentication { at: NOON, ..Authentication::default() };
    Facts { authentication, ..Facts::bare(NOON, Method::GET) }
}

/// Everything is known, and fine.
pub(crate) fn everything(stale: bool) -> Facts {
    Facts {
        address: Some("10.1.2.3".parse().unwrap()),
        country: Some(observed("DE".into(), stale)),
        asn: Some(observed(3320, stale)),
        authentication: Authentication {
            at: Timestamp::from_seconds(NOON.seconds() - 3600),
            acr: Some("phr".to_owned()),
            mfa: Some(true),
            phishing_resistant: Some(true),
        },
        device: Some(observed(Arc::new(device(Standing::Managed)), stale)),
        risk: Some(observed(risk(RiskLevel::Low), stale)),
        ..silence()
    }
}

/// The contrary of it.
pub(crate) fn contrary() -> Facts {
    let mut other = device(Standing::SomebodyElses);
    if let Some(device) = other.device.as_mut().map(Arc::make_mut) {
        device.platform = Some("windows".to_owned());
        device.os_version = Some("10".to_owned());
        device.disk_encryption = Some(false);
        device.tags = Vec::new();
    }
    Facts {
        address: Some("192.0.2.1".parse().unwrap()),
        country: Some(observed("RU".into(), false)),
        asn: Some(observed(1, false)),
        authentication: Authentication { at: NOON, acr: Some("0".to_owned()), mfa: Some(false), phishing_resistant: Some(false) },
        device: Some(observed(Arc::new(other), false)),
        risk: Some(observed(risk(RiskLevel::High), false)),
        ..silence()
    }
}

pub(crate) fn network(label: &str, networks: &[&str]) -> Test {
    let values = networks.iter().map(|network| network.parse().unwrap()).collect();
    Test::Network(Labelled { label: label.into(), values })
}

/// A test of every signal that can be absent; [`everything`] passes it, [`contrary`] does not.
pub(crate) fn tests_of_signals() -> Vec<Test> {
    let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    vec![
        Test::Mfa(true),
        Test::PhishingResistant(true),
        Test::Acr(texts(&["phr", "phrh"])),
        Test::Country(texts(&["DE", "FR"])),
        Test::Asn(vec![3320]),
        Test::Device(DeviceTest::Standing(Standing::Managed)),
        Test::Device(DeviceTest::Standing(Standing::Certified)),
        Test::Device(DeviceTest::Platform(texts(&["macos"]))),
        Test::Device(DeviceTest::OsVersion(Version::parse("14.6").unwrap())),
        Test::Device(DeviceTest::DiskEncryption(true)),
        Test::Device(DeviceTest::Tags(texts(&["x", "finance"]))),
        Test::Risk(vec![RiskLevel::Low]),
    ]
}

pub(crate) fn not(condition: Condition) -> Condition {
    Condition::Not(Box::new(condition))
}

pub(crate) const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}
