//! Objects of Parquet for `format = "ocsf"`: one OCSF class and one day of the events' time, sorted by time.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde::Deserialize;
use serde_json::Value;

use super::columns::{Column, ColumnType, columns, message_type};
use super::key::{SecurityLakeConfig, class_key};
use super::shred::{Shredded, shred};
use crate::sinks::Item;
use crate::sinks::objects::{ObjectEvent, ObjectPacker, ObjectRange, PackedObject};

/// Documents per row group: far below 256 MB, the limit of Amazon Security Lake.
const ROWS_PER_GROUP: usize = 20_000;

/// Uncompressed size of a page, in bytes: the limit of Amazon Security Lake is 1 MB.
const PAGE_BYTES: usize = 512 * 1024;

/// Values after which the size of a page is checked.
const VALUES_PER_CHECK: usize = 64;

const DAY_MILLIS: i64 = 86_400_000;

/// The objects of one range: one for each class and day. Holds the formatted events until they are sorted.
#[derive(Debug)]
pub(super) struct ParquetPacker {
    prefix: String,
    lake: Option<SecurityLakeConfig>,
    range: ObjectRange,
    objects: BTreeMap<(u32, i64), ClassRows>,
}

/// Documents of one class and day.
#[derive(Debug, Default)]
struct ClassRows {
    /// Time of the event, in ms since the Unix epoch, and its document.
    rows: Vec<(i64, Box<[u8]>)>,
    /// Position of the last event.
    last: u64,
}

/// The fields of a document that decide about its object.
#[derive(Deserialize)]
struct Head {
    class_uid: u32,
    time: i64,
}

impl ParquetPacker {
    pub(super) fn new(
        prefix: &str,
        lake: Option<&SecurityLakeConfig>,
        range: ObjectRange,
    ) -> ParquetPacker {
        let (prefix, lake) = (prefix.to_owned(), lake.cloned());
        ParquetPacker { prefix, lake, range, objects: BTreeMap::new() }
    }
}

impl ObjectPacker for ParquetPacker {
    fn add(&mut self, event: ObjectEvent<'_>) -> io::Result<()> {
        let Head { class_uid, time } = serde_json::from_slice(event.line)?;
        let object = self.objects.entry((class_uid, time.div_euclid(DAY_MILLIS))).or_default();
        object.rows.push((time, event.line.into()));
        object.last = event.position;
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<Vec<PackedObject>> {
        let ParquetPacker { prefix, lake, range, objects } = *self;
        let mut packed = Vec::with_capacity(objects.len());
        for ((class, day), ClassRows { mut rows, last }) in objects {
            // Stable: events of the same time stay in the order received.
            rows.sort_by_key(|(time, _)| *time);
            let mut payload = class_key(&prefix, lake.as_ref(), class, day, range).into_bytes();
            payload.push(b'\n');
            let events = rows.len() as u64;
            let payload = file(class, &rows, payload).map_err(io::Error::other)?;
            packed.push(PackedObject {
                item: Item { position: last, payload: payload.into() },
                events,
            });
        }
        packed.sort_unstable_by_key(|object| object.item.position);
        Ok(packed)
    }
}

/// Appends a file with these documents to `out`.
fn file(class: u32, rows: &[(i64, Box<[u8]>)], out: Vec<u8>) -> Result<Vec<u8>, ParquetError> {
    let columns = columns(class);
    let schema = Arc::new(parse_message_type(&message_type(&columns))?);
    let mut writer = SerializedFileWriter::new(out, schema, properties()?)?;
    for rows in rows.chunks(ROWS_PER_GROUP) {
        let documents = rows.iter().map(|(_, line)| serde_json::from_slice(line));
        let documents: Vec<Value> = documents
            .collect::<Result<_, _>>()
            .map_err(|error| ParquetError::External(error.into()))?;
        let mut group = writer.next_row_group()?;
        for column in &columns {
            let Some(mut target) = group.next_column()? else { break };
            write(column, &shred(column, &documents), &mut target)?;
            target.close()?;
        }
        group.close()?;
    }
    writer.into_inner()
}

fn write(
    column: &Column,
    shredded: &Shredded,
    target: &mut parquet::file::writer::SerializedColumnWriter<'_>,
) -> Result<(), ParquetError> {
    let Shredded { definition, repetition, values } = shredded;
    let definition = Some(definition.as_slice());
    let is_repeated = column.steps.iter().any(|step| step.is_list);
    let repetition = Some(repetition.as_slice()).filter(|_| is_repeated);
    match column.kind {
        ColumnType::Text | ColumnType::Json => {
            target.typed::<ByteArrayType>().write_batch(&values.texts, definition, repetition)
        }
        ColumnType::Bool => {
            target.typed::<BoolType>().write_batch(&values.bools, definition, repetition)
        }
        ColumnType::Int => {
            target.typed::<Int32Type>().write_batch(&values.ints, definition, repetition)
        }
        ColumnType::Long => {
            target.typed::<Int64Type>().write_batch(&values.longs, definition, repetition)
        }
    }
    .map(drop)
}

fn properties() -> Result<WriterPropertiesPtr, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_data_page_size_limit(PAGE_BYTES)
        .set_write_batch_size(VALUES_PER_CHECK)
        .build();
    Ok(Arc::new(properties))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::{Field, Row};

    use super::*;
    use crate::sinks::objects::ObjectRange;

    const RANGE: ObjectRange = ObjectRange { first: 1, last: 9, id: 5 };

    fn event(position: u64, line: &str) -> ObjectEvent<'_> {
        ObjectEvent { position, received_at: 0, source: "s", line: line.as_bytes() }
    }

    /// Returns the names of the objects, each with its rows.
    fn packed(lines: &[String]) -> Vec<(String, Vec<Row>)> {
        let mut packer = Box::new(ParquetPacker::new("", None, RANGE));
        for (position, line) in (1..).zip(lines) {
            packer.add(event(position, line)).expect("added");
        }
        let objects = packer.finish().expect("packed").into_iter();
        let read = objects.map(|object| {
            let payload = object.item.payload;
            let end = memchr::memchr(b'\n', &payload).expect("a name");
            let name = String::from_utf8(payload[..end].to_vec()).expect("UTF-8");
            let reader = SerializedFileReader::new(payload.slice(end + 1..)).expect("a file");
            let rows: Vec<Row> =
                reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect();
            assert_eq!(rows.len() as u64, object.events);
            (name, rows)
        });
        read.collect()
    }

    fn json(row: &Row) -> Value {
        row.get_column_iter().map(|(name, field)| (name.clone(), json_of(field))).collect()
    }

    fn json_of(field: &Field) -> Value {
        match field {
            Field::Null => Value::Null,
            Field::Bool(value) => (*value).into(),
            Field::Int(value) => (*value).into(),
            Field::Long(value) => (*value).into(),
            Field::Str(value) => value.clone().into(),
            Field::Group(row) => json(row),
            Field::ListInternal(list) => list.elements().iter().map(json_of).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_class_and_day_has_an_object_sorted_by_time() {
        let line = |class: u32, time: i64| format!("{{\"class_uid\":{class},\"time\":{time}}}");
        let lines = [
            line(3002, 90_000_000),
            line(6003, 5),
            line(3002, 7),
            line(3002, 3),
            line(3002, 90_000_001),
        ];
        let objects = packed(&lines);
        let times = |rows: &[Row]| -> Vec<i64> {
            let time = |row: &Row| json(row)["time"].as_i64().expect("a time");
            rows.iter().map(time).collect()
        };
        let found: Vec<(&str, Vec<i64>)> = objects
            .iter()
            .map(|(name, rows)| (name.rsplit_once('/').expect("a name").0, times(rows)))
            .collect();
        assert_eq!(
            found,
            [
                ("class=6003/dt=1970-01-01", vec![5]),
                ("class=3002/dt=1970-01-01", vec![3, 7]),
                ("class=3002/dt=1970-01-02", vec![90_000_000, 90_000_001]),
            ]
        );
    }

    #[test]
    fn a_document_comes_back_from_its_columns() {
        let document = serde_json::json!({
            "class_uid": 3002, "time": 1_795_169_741_049_i64, "is_remote": true, "message": "a \"text\"\n",
            "actor": { "user": { "name": "jane", "org": { "uid": "e" } } },
            "metadata": { "profiles": ["host", "x"], "version": "1.3.0" },
            "observables": [
                { "name": "src_endpoint.ip", "type_id": 2 },
                { "name": "user.name", "type": "User Name", "type_id": 4, "value": "jane" },
            ],
            "type_uid": 300_201, "unmapped": { "a": [1, { "b": null }] },
        });
        let objects = packed(&[document.to_string()]);
        let row = json(&objects[0].1[0]);
        assert_eq!(row["actor"]["user"]["org"]["uid"], "e");
        assert_eq!(row["metadata"]["profiles"], serde_json::json!(["host", "x"]));
        assert_eq!(row["observables"][0]["name"], "src_endpoint.ip");
        assert!(row["observables"][0]["value"].is_null());
        assert_eq!(row["observables"][1]["value"], "jane");
        assert_eq!((&row["is_remote"], &row["type_uid"]), (&true.into(), &300_201.into()));
        assert_eq!(row["message"], document["message"]);
        let unmapped: Value =
            serde_json::from_str(row["unmapped"].as_str().expect("a text")).expect("JSON");
        assert_eq!(unmapped, document["unmapped"]);
        assert!(row["session"].is_null() && row["status"].is_null());
    }

    #[test]
    fn the_same_documents_make_the_same_bytes() {
        let lines: Vec<String> = (0..500)
            .map(|time| format!("{{\"class_uid\":3002,\"time\":{time},\"message\":\"m{time}\"}}"))
            .collect();
        let bytes = || {
            let mut packer = Box::new(ParquetPacker::new("", None, RANGE));
            for (position, line) in (1..).zip(&lines) {
                packer.add(event(position, line)).expect("added");
            }
            packer.finish().expect("packed").remove(0).item.payload
        };
        assert_eq!(bytes(), bytes());
    }

    /// Every column of a class is an attribute of the class in the published schema, with its type.
    #[test]
    fn the_columns_of_a_class_are_those_of_the_published_schema() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/schemas/ocsf-1.3.0.json");
        let schema: Value =
            serde_json::from_str(&std::fs::read_to_string(path).expect("the schema"))
                .expect("JSON");
        let mut all = BTreeSet::new();
        for class in schema["classes"].as_object().expect("classes").values() {
            let number = class["uid"].as_u64().expect("a number") as u32;
            for column in columns(number) {
                let name = column.steps.iter().map(|step| step.name).collect::<Vec<_>>().join(".");
                all.insert(name.clone());
                // The only field that 1.8.0 alone defines.
                if name == "metadata.original_event_uid" {
                    continue;
                }
                let mut at = class;
                for (index, step) in column.steps.iter().enumerate() {
                    let attribute = &at["attributes"][step.name];
                    assert_eq!(attribute["is_array"] == true, step.is_list, "{number} {name}");
                    let kind =
                        attribute["type"].as_str().unwrap_or_else(|| panic!("{number} {name}"));
                    at = &schema["objects"][kind];
                    if index + 1 == column.steps.len() {
                        let expected = match kind {
                            "integer_t" | "port_t" => ColumnType::Int,
                            "long_t" | "timestamp_t" => ColumnType::Long,
                            "boolean_t" => ColumnType::Bool,
                            "object" => ColumnType::Json,
                            _ => ColumnType::Text,
                        };
                        assert_eq!(column.kind, expected, "{number} {name}: {kind}");
                    }
                }
            }
        }
        assert_eq!(all.len(), 100, "all fields of the format are columns of some class");
    }
}
