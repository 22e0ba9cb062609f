//! Figures as Kubernetes writes them.

use huddle::usage;
use huddle::watch::convert;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A kubelet's answer: what is not understood costs its own line only. Rows come once per container, in order.
pub(crate) fn metrics(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let parsed = usage::parse(&text);
    assert!(parsed.unreadable + parsed.rows.len() as u64 <= text.lines().count() as u64);
    let names = |row: &usage::Row| (row.namespace.clone(), row.pod.clone(), row.container.clone());
    assert!(parsed.rows.is_sorted_by(|a, b| names(a) < names(b)));
    for row in &parsed.rows {
        assert!(!row.pod.is_empty() && !row.container.is_empty());
    }
    // A line that is none of ours changes nothing; one of ours that cannot be read costs itself.
    let more = format!("{text}\ncontainer_oom_events_total{{pod=\"x\n");
    let again = usage::parse(&more);
    assert_eq!((again.rows, again.unreadable), (parsed.rows, parsed.unreadable + 1));
}

/// A quantity is a number or an error. Both readings of it agree: whole ones are thousandths, rounded up.
pub(crate) fn quantity(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let quantity = Quantity(text.to_owned());
    let (milli, whole) = (convert::millicores(&quantity), convert::bytes(&quantity));
    assert_eq!(milli.is_ok(), whole.is_ok());
    let (Ok(milli), Ok(whole)) = (milli, whole) else { return };
    assert!(!text.starts_with('-'));
    if milli.0 < u64::MAX {
        assert_eq!(whole.0, milli.0.div_ceil(1_000));
        // The same number in its plainest form is the same number.
        let plain = Quantity(format!("{}m", milli.0));
        assert_eq!(convert::millicores(&plain), Ok(milli));
    }
}
