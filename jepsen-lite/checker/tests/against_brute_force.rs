//! The search against a checker that is too simple to be wrong: it tries every order.

use checker::flashnode::model::{Op as SaleOp, Sale};
use checker::flashnode::synthetic::{Doubt, Plan, generate};
use checker::flashnode::{Outcome, codec};
use checker::models::{
    CasRegister, Key, Kv, MultiRegister, Mutex, cas_register, kv, multi_register, mutex,
};
use checker::search::{self, Budget, Finding, Operation, Verdict};
use checker::{History, Model, Value};
use proptest::prelude::*;

/// Whether some order of what is left can follow, from this state.
fn brute<M: Model>(
    model: &M,
    operations: &[Operation<M::Op>],
    taken: u32,
    state: &M::State,
) -> bool {
    let left = |index: usize| taken >> index & 1 == 0;
    let due = (0..operations.len()).filter(|index| left(*index));
    let Some(first_return) = due.filter_map(|index| operations[index].returned).min() else {
        return true;
    };
    (0..operations.len()).filter(|index| left(*index)).any(|index| {
        operations[index].invoked < first_return
            && model
                .step(state, &operations[index].op)
                .is_some_and(|next| brute(model, operations, taken | 1 << index, &next))
    })
}

/// Both verdicts, and the linearization replayed.
fn agree<M: Model>(model: &M, operations: &[Operation<M::Op>]) -> Result<(), TestCaseError> {
    let Some(first) = operations.first() else { return Ok(()) };
    let key = model.partition(&first.op);
    let expected = brute(model, operations, 0, &model.init(&key));
    let report = search::check(model, operations, Budget::default());
    prop_assert_eq!(report.verdict == Verdict::Ok, expected, "{:?}", operations);
    prop_assert!(report.verdict != Verdict::Unknown);
    match &report.partitions[0].finding {
        Finding::Linearizable { order } => {
            let mut state = model.init(&key);
            let mut latest_invocation = 0;
            for &index in order {
                let next = model.step(&state, &operations[index].op);
                prop_assert!(next.is_some(), "step {} of {:?}", index, operations);
                state = next.unwrap_or(state);
                prop_assert!(operations[index].returned.is_none_or(|at| at > latest_invocation));
                latest_invocation = latest_invocation.max(operations[index].invoked);
            }
            let mut once = order.clone();
            once.sort_unstable();
            once.dedup();
            prop_assert_eq!(once.len(), order.len());
            let known = |index: &usize| operations[*index].returned.is_some();
            let due = (0..operations.len()).filter(known).count();
            prop_assert_eq!(order.iter().filter(|index| known(index)).count(), due);
        }
        Finding::Stuck(stuck) => {
            // The prefix is linearizable up to this completion, and not with it.
            let at = operations[stuck.operation].returned.unwrap_or(0);
            for (end, expected) in [(at, true), (at + 1, false)] {
                let prefix: Vec<Operation<M::Op>> = operations
                    .iter()
                    .filter(|it| it.invoked < end)
                    .map(|it| Operation {
                        returned: it.returned.filter(|at| *at < end),
                        ..it.clone()
                    })
                    .collect();
                let found = brute(model, &prefix, 0, &model.init(&key));
                prop_assert_eq!(found, expected, "up to {} of {:?}", end, operations);
            }
        }
        Finding::RanOut(_) => prop_assert!(false, "it ran out"),
    }
    Ok(())
}

/// Up to seven operations at random places among each other, some of unknown outcome.
fn placed<Op: Clone + std::fmt::Debug + 'static>(
    op: impl Strategy<Value = Op> + 'static,
) -> impl Strategy<Value = Vec<Operation<Op>>> {
    let one = (op, 0_u16..64, 1_u16..24, 0_u8..4);
    proptest::collection::vec(one, 1..=7).prop_map(|drawn| {
        // Distinct positions: the drawn moments, ranked; ties in the order drawn.
        let mut moments: Vec<(u16, usize, bool)> = Vec::new();
        for (index, (_, begin, length, _)) in drawn.iter().enumerate() {
            moments.push((*begin, index, false));
            moments.push((begin + length, index, true));
        }
        moments.sort_unstable();
        let rank = |index: usize, is_end: bool| {
            moments.iter().position(|it| (it.1, it.2) == (index, is_end))
        };
        drawn
            .iter()
            .enumerate()
            .map(|(index, (op, _, _, luck))| Operation {
                op: op.clone(),
                invoked: rank(index, false).unwrap_or_default(),
                returned: if *luck == 0 { None } else { rank(index, true) },
            })
            .collect()
    })
}

fn register_op() -> impl Strategy<Value = cas_register::Op> {
    use cas_register::Kind;
    let value = || (0_i64..3).prop_map(Value::Int);
    let kind = prop_oneof![
        value().prop_map(Kind::Read),
        value().prop_map(Kind::Write),
        (value(), value()).prop_map(|(old, new)| Kind::Cas(old, new)),
        (value(), value()).prop_map(|(old, new)| Kind::Mismatch(old, new)),
    ];
    kind.prop_map(|kind| cas_register::Op { key: Key(None), kind })
}

fn kv_op() -> impl Strategy<Value = kv::Op> {
    use kv::Kind;
    let text = || prop_oneof![Just("a"), Just("b")].prop_map(Into::into);
    let read = prop_oneof![Just(""), Just("a"), Just("b"), Just("ab"), Just("ba"), Just("aa")];
    let kind = prop_oneof![
        read.prop_map(|text| Kind::Get(text.into())),
        text().prop_map(Kind::Put),
        text().prop_map(Kind::Append),
    ];
    kind.prop_map(|kind| kv::Op { key: Key(None), kind })
}

fn mutex_op() -> impl Strategy<Value = mutex::Op> {
    let kind = prop_oneof![Just(mutex::Kind::Acquire), Just(mutex::Kind::Release)];
    kind.prop_map(|kind| mutex::Op { key: Key(None), kind })
}

fn transaction() -> impl Strategy<Value = Vec<multi_register::Micro>> {
    use multi_register::Micro;
    let key = || prop_oneof![Just("x"), Just("y")].prop_map(|key| Value::Keyword(key.into()));
    let value = || (0_i64..2).prop_map(Value::Int);
    let micro = prop_oneof![
        (key(), value()).prop_map(|(key, value)| Micro::Read(key, value)),
        (key(), value()).prop_map(|(key, value)| Micro::Write(key, value)),
    ];
    proptest::collection::vec(micro, 1..=3)
}

/// A short correct sale, and in it one answer bent by one, or none.
fn sale(seed: u64, operations: usize, at: usize, by: i64) -> Vec<Operation<SaleOp>> {
    let plan =
        Plan { operations, clients: 4, products: 1, doubt: Doubt::Anything, ..Plan::small(seed) };
    let history = History { events: codec::events(&generate(plan).records) };
    let mut operations = history.operations(&Sale).unwrap_or_default();
    operations.retain(|it| it.op.input.product() == "p0");
    let count = operations.len();
    assert!(count > 0, "seed {seed} makes no sale");
    if let Some(answer) = &mut operations[at % count].op.answer {
        let bend = |it: &mut u64| *it = it.saturating_add_signed(by);
        match &mut answer.outcome {
            Outcome::Ordered { remaining } if at.is_multiple_of(2) => bend(remaining),
            Outcome::Counts { available, .. } if at.is_multiple_of(2) => bend(available),
            _ => bend(&mut answer.seq),
        }
    }
    operations
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn cas_register_verdicts_agree(operations in placed(register_op())) {
        agree(&CasRegister { initial: Value::Int(0), ..CasRegister::default() }, &operations)?;
    }

    #[test]
    fn kv_verdicts_agree(operations in placed(kv_op())) {
        agree(&Kv, &operations)?;
    }

    #[test]
    fn multi_register_verdicts_agree(operations in placed(transaction())) {
        let initial = [("x", 0), ("y", 0)];
        let initial = initial.map(|(key, it)| (Value::Keyword(key.into()), Value::Int(it)));
        agree(&MultiRegister { initial: initial.into() }, &operations)?;
    }

    #[test]
    fn sale_verdicts_agree(
        seed in 0_u64..100_000,
        length in 3_usize..9,
        at in 0_usize..20,
        by in -1_i64..=1,
    ) {
        agree(&Sale, &sale(seed, length, at, by))?;
    }

    #[test]
    fn mutex_verdicts_agree(operations in placed(mutex_op())) {
        agree(&Mutex, &operations)?;
    }
}
