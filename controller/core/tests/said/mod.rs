//! Values of a closed set as lines of label and sentence, each label held against the JSON.

use serde::Serialize;

/// The value's tag in JSON.
pub(crate) fn tag(value: &impl Serialize, key: &str) -> String {
    let json = serde_json::to_value(value).unwrap();
    json[key]
        .as_str()
        .map_or_else(|| json.as_str().unwrap_or_default().to_owned(), str::to_owned)
}

/// One line for each value.
pub(crate) fn lines<T: Serialize>(
    values: &[T],
    key: &str,
    label: fn(&T) -> &'static str,
    sentence: fn(&T) -> String,
) -> String {
    let line = |value: &T| {
        assert_eq!(tag(value, key), label(value), "label and JSON differ");
        format!("{}: {}", label(value), sentence(value))
    };
    values.iter().map(line).collect::<Vec<_>>().join("\n")
}
