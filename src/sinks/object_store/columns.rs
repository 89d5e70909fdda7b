//! Columns of an OCSF class, from the table `columns.tsv`: each field that `format = "ocsf"` can write, with the classes
//! that define it. The columns of a class never change with the events, so that all objects of a class have one schema.

/// Columns of all classes: name, type, and `all` or the numbers of the classes. Sorted as a document is.
const TABLE: &str = include_str!("columns.tsv");

/// Type of the values in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnType {
    Text,
    /// An object, as JSON text.
    Json,
    Bool,
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
}

/// A column of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// Steps from the document to the value.
    pub(super) steps: Vec<ColumnStep>,
    pub(super) kind: ColumnType,
}

/// A field on the way to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ColumnStep {
    pub(super) name: &'static str,
    /// True if the field is a list, of which the following steps, or the value, are an element.
    pub(super) is_list: bool,
}

/// Returns the columns of a class, in the order of the schema.
pub(super) fn columns(class: u32) -> Vec<Column> {
    let number = class.to_string();
    let rows = TABLE.lines().filter_map(|line| {
        let mut cells = line.split('\t');
        let (name, kind, classes) = (cells.next()?, cells.next()?, cells.next()?);
        let is_in = classes == "all" || classes.split(' ').any(|known| known == number);
        is_in.then(|| Column { steps: steps(name), kind: kind_of(kind) })
    });
    rows.collect()
}

/// Returns the schema of a class as a message type of Parquet. All columns are optional.
pub(super) fn message_type(columns: &[Column]) -> String {
    let mut text = "message ocsf {".to_owned();
    let mut open: Vec<&ColumnStep> = Vec::new();
    for Column { steps, kind } in columns {
        let Some((last, groups)) = steps.split_last() else { continue };
        let shared = open.iter().zip(groups).take_while(|(open, step)| **open == *step).count();
        for step in open.drain(shared..).rev() {
            text.push_str(if step.is_list { "}}}" } else { "}" });
        }
        for step in &groups[shared..] {
            text.push_str(&match step.is_list {
                true => format!(
                    "optional group {} (LIST) {{ repeated group list {{ optional group element {{",
                    step.name
                ),
                false => format!("optional group {} {{", step.name),
            });
            open.push(step);
        }
        text.push_str(&leaf(last, *kind));
    }
    for step in open.iter().rev() {
        text.push_str(if step.is_list { "}}}" } else { "}" });
    }
    text.push('}');
    text
}

fn leaf(step: &ColumnStep, kind: ColumnType) -> String {
    let (physical, logical) = match kind {
        ColumnType::Text => ("binary", " (STRING)"),
        // A text: query engines read the annotation JSON differently.
        ColumnType::Json => ("binary", " (STRING)"),
        ColumnType::Bool => ("boolean", ""),
        ColumnType::Int => ("int32", ""),
        ColumnType::Long => ("int64", ""),
    };
    let name = step.name;
    match step.is_list {
        true => format!(
            "optional group {name} (LIST) {{ repeated group list {{ optional {physical} element{logical}; }} }}"
        ),
        false => format!("optional {physical} {name}{logical};"),
    }
}

fn steps(name: &'static str) -> Vec<ColumnStep> {
    let step = |name: &'static str| match name.strip_suffix("[]") {
        Some(name) => ColumnStep { name, is_list: true },
        None => ColumnStep { name, is_list: false },
    };
    name.split('.').map(step).collect()
}

fn kind_of(word: &str) -> ColumnType {
    match word {
        "json" => ColumnType::Json,
        "bool" => ColumnType::Bool,
        "int" => ColumnType::Int,
        "long" => ColumnType::Long,
        _ => ColumnType::Text,
    }
}
