//! Layout of a JSON document: its fields in the order of the output, with the brackets between them, compiled
//! once per format.

use super::slots::position;

/// Maximum number of fields of a document: one bit each.
pub(super) const MAX_FIELDS: usize = 128;

/// Maximum nesting of a document, its extension and lists excluded.
const MAX_DEPTH: usize = 8;

/// Number of a field in its format's list of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field(u8);

/// The fields of a format.
#[derive(Debug)]
pub(super) struct Layout {
    fields: Vec<FieldLayout>,
    /// Objects around fields; the first is the document.
    objects: Vec<ObjectLayout>,
}

#[derive(Debug)]
struct FieldLayout {
    /// The name with its colon.
    name: String,
    /// Object that holds the field.
    object: u8,
}

#[derive(Debug, PartialEq)]
struct ObjectLayout {
    /// The name, with the opening bracket; two brackets for an array of one object.
    open: String,
    close: &'static str,
    depth: usize,
    /// The object itself and those around it, by depth.
    around: [u8; MAX_DEPTH],
}

impl Field {
    /// Returns the field of that name. A name that is not in the list does not compile.
    pub(super) const fn of(names: &[&str], name: &str) -> Field {
        assert!(names.len() <= MAX_FIELDS, "a document has one bit for each field");
        Field(position(names, name) as u8)
    }

    /// Returns the field's position in the list.
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Layout {
    /// Compiles the layout of a list of names. Dots separate nested objects, and `[]` after a name makes an array
    /// of one object. The names are in the order of the output: sorted by name within each object.
    pub(super) fn of(names: &[&str]) -> Layout {
        let document =
            ObjectLayout { open: "{".to_owned(), close: "}", depth: 0, around: [0; MAX_DEPTH] };
        let mut layout = Layout { fields: Vec::new(), objects: vec![document] };
        for name in names {
            let (objects, name) = name.rsplit_once('.').unwrap_or(("", name));
            let steps = objects.split('.').filter(|step| !step.is_empty());
            let object = steps.fold(0, |around, step| layout.object(around, step));
            layout.fields.push(FieldLayout { name: format!("\"{name}\":"), object });
        }
        layout
    }

    /// Returns the object of that name inside another one, which is added if it is missing.
    fn object(&mut self, around: u8, name: &str) -> u8 {
        let (open, close) = match name.strip_suffix("[]") {
            Some(list) => (format!("\"{list}\":[{{"), "}]"),
            None => (format!("\"{name}\":{{"), "}"),
        };
        let depth = self.objects[usize::from(around)].depth + 1;
        let is_same =
            |object: &ObjectLayout| object.open == open && object.around[depth - 1] == around;
        let known = self.objects.iter().position(|object| object.depth == depth && is_same(object));
        let number = known.unwrap_or(self.objects.len()) as u8;
        if known.is_none() {
            let mut all = self.objects[usize::from(around)].around;
            all[depth] = number;
            self.objects.push(ObjectLayout { open, close, depth, around: all });
        }
        number
    }

    /// Appends a document with these fields, which are in order. `value` appends the value of a field.
    pub(super) fn write(
        &self,
        fields: impl Iterator<Item = usize>,
        value: impl Fn(usize, &mut Vec<u8>),
        out: &mut Vec<u8>,
    ) {
        let (mut open, mut has_sibling) = (&self.objects[0], false);
        out.extend_from_slice(open.open.as_bytes());
        for index in fields {
            let field = &self.fields[index];
            let object = &self.objects[usize::from(field.object)];
            while object.around[open.depth] != open.around[open.depth] {
                out.extend_from_slice(open.close.as_bytes());
                open = &self.objects[usize::from(open.around[open.depth - 1])];
                has_sibling = true;
            }
            while open.depth < object.depth {
                open = &self.objects[usize::from(object.around[open.depth + 1])];
                separate(&mut has_sibling, out);
                out.extend_from_slice(open.open.as_bytes());
                has_sibling = false;
            }
            separate(&mut has_sibling, out);
            out.extend_from_slice(field.name.as_bytes());
            value(index, out);
        }
        for depth in (0..=open.depth).rev() {
            let object = &self.objects[usize::from(open.around[depth])];
            out.extend_from_slice(object.close.as_bytes());
        }
    }
}

/// Appends a comma if a value stands before.
fn separate(has_sibling: &mut bool, out: &mut Vec<u8>) {
    if std::mem::replace(has_sibling, true) {
        out.push(b',');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const NAMES: [&str; 9] =
        ["@t", "a.b.c", "a.b.d", "a.e", "f", "g.h[].i", "g.h[].j.k", "g.l.k", "m"];

    #[test]
    fn each_subset_of_fields_is_written_in_order() {
        let layout = Layout::of(&NAMES);
        for present in 0..1_usize << NAMES.len() {
            let fields = (0..NAMES.len()).filter(|index| present >> index & 1 == 1);
            let mut out = Vec::new();
            let value = |index: usize, out: &mut Vec<u8>| out.push(b'1' + index as u8);
            layout.write(fields.clone(), value, &mut out);
            let text = String::from_utf8(out).expect("UTF-8");
            let document: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(document.to_string(), text, "serde_json sorts names, too");
            let pointers =
                NAMES.map(|name| format!("/{}", name.replace("[]", ".0").replace('.', "/")));
            for (index, pointer) in pointers.iter().enumerate() {
                let expected = fields.clone().any(|field| field == index).then_some(index + 1);
                let found = document.pointer(pointer).and_then(Value::as_u64);
                assert_eq!(found, expected.map(|value| value as u64), "{pointer} in {text}");
            }
        }
    }
}
