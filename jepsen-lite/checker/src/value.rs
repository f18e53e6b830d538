//! A tree of values, as EDN and JSON files hold them.
//!
//! Owns: the type, and when two values are equal: as Clojure's `=` has it, so that models can
//! hold any value as a state. Never does: reading or writing, which is `format`'s. Called by
//! everything that reads a history's `:value`.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// One EDN value; JSON is a subset of these.
///
/// Maps and sets are equal whatever their order; whole and other numbers are never equal, as
/// Clojure's `(= 1 1.0)` is false; a float is equal to itself, also when it is not a number, so
/// that equality is an equivalence.
#[derive(Debug, Clone)]
pub enum Value {
    /// `nil`, `null`.
    Nil,
    /// `true`, `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating point number.
    Float(f64),
    /// Another number, as it was written: a ratio, a decimal, or a whole one past 64 bits.
    Number(String),
    /// `\a`, `\newline`.
    Char(char),
    /// Text.
    Text(String),
    /// `:name`, without the colon.
    Keyword(String),
    /// A bare word.
    Symbol(String),
    /// A list or a vector.
    List(Vec<Value>),
    /// A map, in the order of the file. JSON's keys are keywords here.
    Map(Vec<(Value, Value)>),
    /// A set.
    Set(Vec<Value>),
    /// `#tag value`.
    Tagged(String, Box<Value>),
}

impl Value {
    /// The entry of a map under this keyword or text.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Map(entries) = self else {
            return None;
        };
        let named = |key: &Self| matches!(key, Self::Keyword(k) | Self::Text(k) if k == name);
        entries.iter().find(|(key, _)| named(key)).map(|(_, value)| value)
    }

    /// The whole number.
    pub fn as_int(&self) -> Option<i64> {
        if let Self::Int(number) = self { Some(*number) } else { None }
    }

    /// The text of a text, keyword or symbol.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Keyword(text) | Self::Symbol(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list, vector or set.
    pub fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(items) | Self::Set(items) = self { Some(items) } else { None }
    }

    /// Whether it is `nil`.
    pub fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }
}

impl Value {
    fn rank(&self) -> u8 {
        match self {
            Self::Nil => 0,
            Self::Bool(_) => 1,
            Self::Int(_) => 2,
            Self::Float(_) => 3,
            Self::Number(_) => 4,
            Self::Char(_) => 5,
            Self::Text(_) => 6,
            Self::Keyword(_) => 7,
            Self::Symbol(_) => 8,
            Self::List(_) => 9,
            Self::Map(_) => 10,
            Self::Set(_) => 11,
            Self::Tagged(..) => 12,
        }
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b),
            (Self::Char(a), Self::Char(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b))
            | (Self::Text(a), Self::Text(b))
            | (Self::Keyword(a), Self::Keyword(b))
            | (Self::Symbol(a), Self::Symbol(b)) => a.cmp(b),
            (Self::List(a), Self::List(b)) => a.cmp(b),
            (Self::Map(a), Self::Map(b)) => sorted(a).cmp(&sorted(b)),
            (Self::Set(a), Self::Set(b)) => sorted(a).cmp(&sorted(b)),
            (Self::Tagged(tag, a), Self::Tagged(other, b)) => tag.cmp(other).then_with(|| a.cmp(b)),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rank().hash(state);
        match self {
            Self::Nil => {}
            Self::Bool(it) => it.hash(state),
            Self::Int(it) => it.hash(state),
            Self::Float(it) => it.to_bits().hash(state),
            Self::Char(it) => it.hash(state),
            Self::Number(it) | Self::Text(it) | Self::Keyword(it) | Self::Symbol(it) => {
                it.hash(state);
            }
            Self::List(it) => it.hash(state),
            Self::Map(it) => sorted(it).hash(state),
            Self::Set(it) => sorted(it).hash(state),
            Self::Tagged(tag, it) => {
                tag.hash(state);
                it.hash(state);
            }
        }
    }
}

fn sorted<T: Ord>(items: &[T]) -> Vec<&T> {
    let mut items: Vec<&T> = items.iter().collect();
    items.sort();
    items
}
