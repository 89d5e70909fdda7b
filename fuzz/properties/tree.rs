//! Reader of JSON by RFC 8259 into a lossless tree: repeated fields, numbers as spelt, half
//! surrogates (as U+FFFD).

/// Maximum nesting.
const MAX_DEPTH: usize = 140;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tree {
    /// A number, `true`, `false` or `null`, as it is spelt.
    Word(String),
    Text(String),
    List(Vec<Tree>),
    /// The fields in order, including repeated ones.
    Object(Vec<(String, Tree)>),
}

/// Parses a whole text. Returns `None` if it is not JSON or nests too deep.
pub(crate) fn read(bytes: &[u8]) -> Option<Tree> {
    let mut reader = TreeReader { rest: std::str::from_utf8(bytes).ok()? };
    let tree = reader.value(0)?;
    reader.space();
    reader.rest.is_empty().then_some(tree)
}

struct TreeReader<'a> {
    rest: &'a str,
}

impl<'a> TreeReader<'a> {
    fn value(&mut self, depth: usize) -> Option<Tree> {
        self.space();
        match self.rest.chars().next()? {
            '{' | '[' if depth == MAX_DEPTH => None,
            '{' => self.object(depth + 1),
            '[' => self.list(depth + 1),
            '"' => self.string().map(Tree::Text),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Tree> {
        let mut fields = Vec::new();
        self.pass('{')?;
        if self.pass('}').is_some() {
            return Some(Tree::Object(fields));
        }
        loop {
            self.space();
            let name = self.string()?;
            self.pass(':')?;
            fields.push((name, self.value(depth)?));
            if self.pass('}').is_some() {
                return Some(Tree::Object(fields));
            }
            self.pass(',')?;
        }
    }

    fn list(&mut self, depth: usize) -> Option<Tree> {
        let mut items = Vec::new();
        self.pass('[')?;
        if self.pass(']').is_some() {
            return Some(Tree::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.pass(']').is_some() {
                return Some(Tree::List(items));
            }
            self.pass(',')?;
        }
    }

    fn string(&mut self) -> Option<String> {
        self.rest = self.rest.strip_prefix('"')?;
        let mut units: Vec<u16> = Vec::new();
        let mut buffer = [0; 2];
        loop {
            let c = self.next()?;
            match c {
                '"' => return Some(String::from_utf16_lossy(&units)),
                '\0'..' ' => return None,
                '\\' => units.push(self.escape()?),
                c => units.extend_from_slice(c.encode_utf16(&mut buffer)),
            }
        }
    }

    fn escape(&mut self) -> Option<u16> {
        Some(match self.next()? {
            c @ ('"' | '\\' | '/') => c as u16,
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'u' => {
                let digits = self.rest.get(..4)?;
                self.rest = &self.rest[4..];
                let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                is_hex.then(|| u16::from_str_radix(digits, 16).ok())??
            }
            _ => return None,
        })
    }

    fn word(&mut self) -> Option<Tree> {
        let ends = |c: char| ",]} \t\r\n".contains(c);
        let (word, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        let is_word = matches!(word, "true" | "false" | "null") || is_number(word);
        is_word.then(|| Tree::Word(word.to_owned()))
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        Some(c)
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn pass(&mut self, c: char) -> Option<()> {
        self.space();
        self.rest = self.rest.strip_prefix(c)?;
        Some(())
    }
}

fn is_number(word: &str) -> bool {
    let word = word.strip_prefix('-').unwrap_or(word);
    let (mantissa, exponent) = match word.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (word, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|text| digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}

impl Tree {
    /// Returns the last field of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Tree> {
        let Tree::Object(fields) = self else { return None };
        fields.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// Returns the value at a path of field names, following the last field of each name.
    pub(crate) fn at(&self, names: &[&str]) -> Option<&Tree> {
        names.iter().try_fold(self, |value, name| value.get(name))
    }

    /// Returns the value at a path of field names and array indices.
    pub(crate) fn follow(&self, path: &[String]) -> Option<&Tree> {
        path.iter().try_fold(self, |value, step| match value {
            Tree::List(items) => items.get(step.parse::<usize>().ok()?),
            value => value.get(step),
        })
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if let Tree::Text(text) = self { Some(text) } else { None }
    }

    /// Returns the text of a string, or the spelling of a number or word.
    pub(crate) fn said(&self) -> Option<&str> {
        match self {
            Tree::Text(text) | Tree::Word(text) => Some(text),
            Tree::List(_) | Tree::Object(_) => None,
        }
    }

    /// Returns every scalar and empty container, with its path.
    pub(crate) fn leaves(&self) -> Vec<(Vec<String>, &Tree)> {
        let mut found = Vec::new();
        self.gather(&mut Vec::new(), &mut found);
        found
    }

    fn gather<'t>(&'t self, at: &mut Vec<String>, found: &mut Vec<(Vec<String>, &'t Tree)>) {
        let inner: Vec<(String, &Tree)> = match self {
            Tree::Object(fields) => fields.iter().map(|(name, v)| (name.clone(), v)).collect(),
            Tree::List(items) => {
                items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()
            }
            Tree::Text(_) | Tree::Word(_) => Vec::new(),
        };
        if inner.is_empty() {
            found.push((at.clone(), self));
        }
        for (step, value) in inner {
            at.push(step);
            value.gather(at, found);
            at.pop();
        }
    }

    /// Returns whether an object in the tree has a repeated name.
    pub(crate) fn has_repetition(&self) -> bool {
        match self {
            Tree::Object(fields) => {
                let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
                names.sort_unstable();
                names.windows(2).any(|pair| pair[0] == pair[1])
                    || fields.iter().any(|(_, value)| value.has_repetition())
            }
            Tree::List(items) => items.iter().any(Tree::has_repetition),
            Tree::Text(_) | Tree::Word(_) => false,
        }
    }
}
