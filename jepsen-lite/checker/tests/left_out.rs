//! What the search leaves out changes no verdict: it against itself with nothing left out, on
//! histories that are too long for a checker that tries every order.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

use checker::model::Reading;
use checker::models::{CasRegister, Key, Kv, cas_register, kv};
use checker::search::{self, Budget, Finding, Operation, STUCK_STATES_MAX, Verdict};
use checker::{Call, History, Model, Value};
use proptest::prelude::*;

/// A model of which nothing is known: no operation is blind, none overwrites, and, since it says
/// that they have ranks, none is taken for another that does the same. (The ranks are all alike.)
struct Plain<M>(M);

impl<M: Model> Model for Plain<M> {
    type Op = M::Op;
    type State = M::State;
    type Key = M::Key;
    type Shape = M::Shape;

    const RANKED: bool = true;

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn init(&self, key: &Self::Key) -> Self::State {
        self.0.init(key)
    }

    fn step(&self, state: &Self::State, op: &Self::Op) -> Option<Self::State> {
        self.0.step(state, op)
    }

    fn partition(&self, op: &Self::Op) -> Self::Key {
        self.0.partition(op)
    }

    fn shape(&self, op: &Self::Op) -> Self::Shape {
        self.0.shape(op)
    }

    fn describe(&self, op: &Self::Op) -> String {
        self.0.describe(op)
    }

    fn describe_state(&self, state: &Self::State) -> String {
        self.0.describe_state(state)
    }

    fn read(&self, history: &History, call: &Call) -> Result<Reading<Self::Op>, String> {
        self.0.read(history, call)
    }
}

/// An order is one: each step is legal, none comes after what began when it had ended, and all
/// that ended are in it, once.
fn replays<M: Model>(model: &M, operations: &[Operation<M::Op>], order: &[usize]) {
    let mut state = model.init(&model.partition(&operations[0].op));
    let mut latest_invocation = 0;
    let mut seen = vec![false; operations.len()];
    for &index in order {
        let Operation { op, invoked, returned } = &operations[index];
        let next = model.step(&state, op);
        assert!(next.is_some(), "{order:?}: {op:?} in {state:?} of {operations:?}");
        state = next.unwrap();
        assert!(returned.is_none_or(|at| at > latest_invocation), "{order:?} of {operations:?}");
        latest_invocation = latest_invocation.max(*invoked);
        assert!(!std::mem::replace(&mut seen[index], true), "{order:?} of {operations:?}");
    }
    let left = (0..operations.len()).find(|&at| operations[at].returned.is_some() && !seen[at]);
    assert_eq!(left, None, "{order:?} of {operations:?}");
}

fn agree<M: Model>(plain: &Plain<M>, operations: &[Operation<M::Op>]) -> Result<(), TestCaseError> {
    let expected = search::check(plain, operations, Budget::default());
    let found = search::check(&plain.0, operations, Budget::default());
    prop_assert!(expected.verdict != Verdict::Unknown && found.verdict != Verdict::Unknown);
    prop_assert_eq!(expected.verdict, found.verdict, "{:?}", operations);
    for (one, other) in expected.partitions.iter().zip(&found.partitions) {
        match (&one.finding, &other.finding) {
            (Finding::Linearizable { .. }, Finding::Linearizable { order }) => {
                replays(&plain.0, operations, order);
            }
            (Finding::Stuck(one), Finding::Stuck(other)) => {
                prop_assert_eq!(one.operation, other.operation, "{:?}", operations);
                let states = |stuck: &search::Stuck<M::State>| {
                    let mut states: Vec<String> =
                        stuck.states.iter().map(|state| format!("{state:?}")).collect();
                    states.sort();
                    states
                };
                if one.states.len() < STUCK_STATES_MAX {
                    prop_assert_eq!(states(one), states(other), "{:?}", operations);
                }
            }
            (one, other) => prop_assert!(false, "{:?} and {:?}", one, other),
        }
    }
    Ok(())
}

/// The same where some may be left out; and, where those are few, against histories that have some
/// of them and not the others, whatever the search makes of what may be left out.
fn agree_on_required<M: Model>(
    plain: &Plain<M>,
    (operations, required): &(Vec<Operation<M::Op>>, Vec<bool>),
) -> Result<(), TestCaseError> {
    let start = || plain.init(&plain.partition(&operations[0].op));
    let budget = Budget::default();
    let expected = search::check_required(plain, start(), operations, required, budget);
    let found = search::check_required(&plain.0, start(), operations, required, budget);
    prop_assert!(expected != Verdict::Unknown && found != Verdict::Unknown);
    prop_assert_eq!(expected, found, "{:?}, required: {:?}", operations, required);
    let optional = |at: &usize| !required[*at] && operations[*at].returned.is_some();
    let optional: Vec<usize> = (0..operations.len()).filter(optional).collect();
    if optional.len() > CHOSEN_FROM_MAX {
        return Ok(());
    }
    let is_legal_with = |chosen: u32| {
        let left_out = optional.iter().enumerate().filter(|(bit, _)| chosen >> bit & 1 == 0);
        let left_out: Vec<usize> = left_out.map(|(_, at)| *at).collect();
        let kept = (0..operations.len()).filter(|at| !left_out.contains(at));
        let kept: Vec<Operation<M::Op>> = kept.map(|at| operations[at].clone()).collect();
        search::check(plain, &kept, budget).verdict == Verdict::Ok
    };
    let is_legal = (0..1 << optional.len()).any(is_legal_with);
    prop_assert_eq!(is_legal, found == Verdict::Ok, "{:?}, {:?}", operations, required);
    Ok(())
}

/// Every choice of this many operations is tried.
const CHOSEN_FROM_MAX: usize = 5;

/// And which of them are required: half.
fn some_required<Op: Clone + std::fmt::Debug + 'static>(
    operations: impl Strategy<Value = Vec<Operation<Op>>>,
) -> impl Strategy<Value = (Vec<Operation<Op>>, Vec<bool>)> {
    operations.prop_flat_map(|operations| {
        let required = proptest::collection::vec(proptest::bool::ANY, operations.len());
        (Just(operations), required)
    })
}

/// Operations at random places, of which one in eight never returns.
fn placed<Op: Clone + std::fmt::Debug + 'static>(
    op: impl Strategy<Value = Op> + 'static,
    most: usize,
) -> impl Strategy<Value = Vec<Operation<Op>>> {
    let one = (op, 0_usize..80, 1_usize..24, 0_u8..8);
    proptest::collection::vec(one, 1..most).prop_map(|drawn| {
        let operation = |(at, (op, begin, length, luck)): (usize, (Op, usize, usize, u8))| {
            // No two at one position.
            let place = |moment: usize| moment * 64 + at;
            let returned = (luck > 0).then(|| place(begin + length));
            Operation { op, invoked: place(begin), returned }
        };
        drawn.into_iter().enumerate().map(operation).collect()
    })
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn of_registers(operations in placed(register_op(), 24)) {
        let model = CasRegister { initial: Value::Int(0), ..CasRegister::default() };
        agree(&Plain(model), &operations)?;
    }

    #[test]
    fn of_maps(operations in placed(kv_op(), 16)) {
        agree(&Plain(Kv), &operations)?;
    }

    #[test]
    fn of_registers_with_some_left_out(drawn in some_required(placed(register_op(), 24))) {
        let model = CasRegister { initial: Value::Int(0), ..CasRegister::default() };
        agree_on_required(&Plain(model), &drawn)?;
    }

    #[test]
    fn of_switches_with_some_left_out(drawn in some_required(placed(switch_op(), 9))) {
        let model = CasRegister { initial: Value::Int(0), ..CasRegister::default() };
        agree_on_required(&Plain(model), &drawn)?;
    }

    #[test]
    fn of_maps_with_some_left_out(drawn in some_required(placed(kv_op(), 16))) {
        agree_on_required(&Plain(Kv), &drawn)?;
    }
}

/// Of two appends alike, the one that completes first may be hidden by a put, and the other, which
/// began after it, not: then they cannot change places.
#[test]
fn an_append_is_not_taken_for_one_that_a_put_hides() {
    let operation = |kind, invoked, returned| {
        let op = kv::Op { key: Key(None), kind };
        Operation { op, invoked, returned: Some(returned) }
    };
    let append = || kv::Kind::Append("b".into());
    let get = || kv::Kind::Get("ab".into());
    let operations = [
        operation(kv::Kind::Put("a".into()), 0, 2),
        operation(append(), 1, 9),
        operation(append(), 3, 10),
        operation(get(), 4, 5),
        operation(get(), 11, 12),
    ];
    let report = search::check(&Kv, &operations, Budget::default());
    let Finding::Linearizable { order } = &report.partitions[0].finding else {
        panic!("the first append comes before the put: {report:?}")
    };
    assert_eq!(*order, [1, 0, 2, 3, 4]);
}

/// Mostly writes, and reads that are right more often than not: the values are few.
fn register_op() -> impl Strategy<Value = cas_register::Op> {
    use cas_register::Kind;
    let value = || (0_i64..3).prop_map(Value::Int);
    let kind = prop_oneof![
        2 => value().prop_map(Kind::Read),
        4 => value().prop_map(Kind::Write),
        2 => (value(), value()).prop_map(|(old, new)| Kind::Cas(old, new)),
        1 => (value(), value()).prop_map(|(old, new)| Kind::Mismatch(old, new)),
    ];
    kind.prop_map(|kind| cas_register::Op { key: Key(None), kind })
}

/// So few kinds that most have others alike, of which one is as good as two or is not.
fn switch_op() -> impl Strategy<Value = cas_register::Op> {
    use cas_register::Kind;
    let (off, on) = (Value::Int(0), Value::Int(1));
    let kind = prop_oneof![
        2 => Just(Kind::Read(off.clone())),
        2 => Just(Kind::Read(on.clone())),
        3 => Just(Kind::Cas(off.clone(), on.clone())),
        2 => Just(Kind::Cas(on, off.clone())),
        1 => Just(Kind::Write(off)),
    ];
    kind.prop_map(|kind| cas_register::Op { key: Key(None), kind })
}

fn kv_op() -> impl Strategy<Value = kv::Op> {
    use kv::Kind;
    let text = || prop_oneof![Just("a"), Just("b")].prop_map(Into::into);
    let read = prop_oneof![Just(""), Just("a"), Just("b"), Just("ab"), Just("ba"), Just("aa")];
    let kind = prop_oneof![
        2 => read.prop_map(|text| Kind::Get(text.into())),
        4 => text().prop_map(Kind::Put),
        2 => text().prop_map(Kind::Append),
    ];
    kind.prop_map(|kind| kv::Op { key: Key(None), kind })
}
