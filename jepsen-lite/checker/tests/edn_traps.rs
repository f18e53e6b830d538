//! What Jepsen's EDN files hold besides the plain maps, one trap a test.

use checker::models::{CasRegister, FailedCas};
use checker::search::{self, Budget, Verdict};
use checker::{History, Process, Value, format};

#[track_caller]
fn read(text: &str) -> History {
    format::read(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// As of a register that holds nil at first.
#[track_caller]
fn verdict(text: &str) -> Verdict {
    verdict_of(&CasRegister::default(), text)
}

#[track_caller]
fn verdict_of(model: &CasRegister, text: &str) -> Verdict {
    let operations = read(text).operations(model);
    let operations = operations.unwrap_or_else(|error| panic!("{error}\n{text}"));
    search::check(model, &operations, Budget::default()).verdict
}

/// A write of one value, then a read of another, both whole.
fn write_read(written: &str, read: &str) -> String {
    format!(
        "{{:process 0, :type :invoke, :f :write, :value {written}}}\n\
         {{:process 0, :type :ok, :f :write, :value {written}}}\n\
         {{:process 1, :type :invoke, :f :read, :value nil}}\n\
         {{:process 1, :type :ok, :f :read, :value {read}}}\n"
    )
}

/// A value is read as itself, and as no other.
#[track_caller]
fn same_and_other(written: &str, same: &str, other: &str) {
    assert_eq!(verdict(&write_read(written, same)), Verdict::Ok, "{written} is {same}");
    assert_eq!(verdict(&write_read(written, other)), Verdict::Illegal, "{written} is not {other}");
}

#[test]
fn namespaced_keywords_are_not_their_last_part() {
    same_and_other(":a/b", ":a/b", ":b");
    same_and_other("#:a{:b 1}", "{:a/b 1}", "{:b 1}");
}

#[test]
fn cas_takes_its_pair_and_its_answer_need_not_repeat_it() {
    let cas = |answer: &str, read: &str| {
        write_read("0", read).replacen(
            "{:process 1, :type :invoke",
            &format!(
                "{{:process 2, :type :invoke, :f :cas, :value [0 1]}}\n\
                 {{:process 2, {answer}}}\n{{:process 1, :type :invoke"
            ),
            1,
        )
    };
    let ok = ":type :ok, :f :cas, :value [0 1]";
    assert_eq!(verdict(&cas(ok, "1")), Verdict::Ok);
    assert_eq!(verdict(&cas(ok, "0")), Verdict::Illegal);
    assert_eq!(verdict(&cas(":type :ok, :f :cas, :value (0 1)", "1")), Verdict::Ok);
    let failed = ":type :fail, :f :cas, :value [0 1]";
    let timed_out = ":type :fail, :f :cas, :value [0 1], :error :no-leader";
    let strict = CasRegister { failed_cas: FailedCas::Mismatch, ..CasRegister::default() };
    for answer in [failed, timed_out] {
        assert_eq!(verdict(&cas(answer, "0")), Verdict::Ok, "it never took place");
        assert_eq!(verdict(&cas(answer, "1")), Verdict::Illegal, "and sets nothing");
    }
    assert_eq!(verdict_of(&strict, &cas(failed, "0")), Verdict::Illegal, "it held 0");
    assert_eq!(verdict_of(&strict, &cas(timed_out, "0")), Verdict::Ok, "there was no leader");
    let open = ":type :info, :f :cas, :value :timed-out";
    assert_eq!(verdict(&cas(open, "0")), Verdict::Ok);
    assert_eq!(verdict(&cas(open, "1")), Verdict::Ok);
}

#[test]
fn nil_is_a_value_and_so_is_a_missing_one() {
    same_and_other("nil", "nil", "false");
    let bare = write_read("1", "nil").replace(", :value nil", "");
    assert_eq!(read(&bare).events[3].value, Value::Nil);
    assert_eq!(verdict(&bare), Verdict::Illegal, "an answered read of nothing read nil");
}

#[test]
fn comments_end_with_their_line() {
    let text = write_read("1 ; {:process 9\n", "1;2\n").replace("0,", "0 ; }\n,");
    assert_eq!(read(&text).events.len(), 4);
    assert_eq!(verdict(&format!("; all of it\n{text};")), Verdict::Ok);
}

#[test]
fn what_is_discarded_is_one_form_each() {
    same_and_other("[1 #_2 3 #_[4 5]]", "[1 3]", "[1 2 3]");
    same_and_other("[#_ #_ 1 2 3]", "[3]", "[2 3]");
    let whole = write_read("1", "1") + "#_{:process 1, :type :invoke, :f :read}\n#_ #_ :a :b";
    assert_eq!(read(&whole).events.len(), 4);
    let field = write_read("1", "1").replace(":f :read", "#_:f #_:write :f :read");
    assert_eq!(verdict(&field), Verdict::Ok);
}

#[test]
fn tags_belong_to_their_value() {
    same_and_other("#inst \"2020-01-01\"", "#inst \"2020-01-01\"", "\"2020-01-01\"");
    same_and_other("#a/b {:c #d [1]}", "#a/b{:c #d[1]}", "#a/b{:c #e[1]}");
    let ops = write_read("1", "1").replace("{:process", "#jepsen.history.Op{:process");
    assert_eq!(read(&ops), read(&write_read("1", "1")), "an op's own tag says nothing");
}

#[test]
fn commas_are_blanks() {
    same_and_other("[1,2]", "[1 2]", "[12]");
    let bare = write_read("1", "1").replace(',', "").replace(' ', " ,, ");
    assert_eq!(verdict(&bare), Verdict::Ok);
}

#[test]
fn numbers_are_equal_as_clojure_has_it() {
    same_and_other("1/3", "1/3", "1");
    same_and_other("1N", "1", "1.0");
    same_and_other("123456789012345678901234567890", "123456789012345678901234567890N", "1");
    same_and_other("1.5M", "1.5M", "1.5");
    same_and_other("+7", "7", "-7");
    same_and_other("##NaN", "##NaN", "##Inf");
    for wrong in ["1/x", "0x", "1.2.3", "12N3"] {
        let error = format::read(&write_read(wrong, "1")).expect_err(wrong);
        assert_eq!((error.line, error.column), (1, 47), "{wrong}: {error}");
    }
}

#[test]
fn tuples_of_independent_are_keys_and_values() {
    // Under another key, the register still holds nil.
    let tuples = write_read("[5 1]", "[6 nil]").replacen(":value nil", ":value [6 nil]", 1);
    assert_eq!(verdict(&tuples), Verdict::Ok);
    assert_eq!(verdict(&tuples.replace('6', "5")), Verdict::Illegal);
    let tagged = write_read("[5 1]", "[6 nil]").replacen(":value nil", ":value [6 nil]", 1);
    let tagged = tagged.replace(":value [", ":value #jepsen.independent.Tuple[");
    assert_eq!(verdict(&tagged), Verdict::Ok);
    assert_eq!(read(&tagged).events[0].key.as_deref(), Some(&Value::Int(5)));
    // A value that happens to be a pair is none.
    same_and_other("[5 1]", "[5 1]", "[6 1]");
}

#[test]
fn a_file_may_be_one_vector_or_list() {
    let maps = write_read("1", "1");
    let bare = read(&maps);
    for (open, close) in [("[", "]"), ("(", ")"), ("\n[ ;\n", "\n]\n")] {
        let one = read(&format!("{open}{maps}{close}"));
        let values = |history: &History| {
            history.events.iter().map(|event| event.value.clone()).collect::<Vec<_>>()
        };
        assert_eq!(values(&one), values(&bare));
    }
    let knossos = "[[0 :invoke :write 1] [0 :ok :write 1] [1 :invoke :read nil] [1 :ok :read 2]]";
    assert_eq!(verdict(knossos), Verdict::Illegal);
}

/// The order is that of the file: an index, where there is one, says nothing more.
#[test]
fn an_index_is_not_needed() {
    let with = write_read("1", "1").replace("{:process", "{:index 7, :process");
    assert_eq!(read(&with), read(&write_read("1", "1")));
}

#[test]
fn the_nemesis_does_not_operate() {
    let kill = "{:process :nemesis, :type :info, :f :write, :value {\"n1\" [:killed, 2]}}\n";
    let text = [kill, &write_read("1", "1"), kill, kill].concat();
    let history = read(&text);
    assert_eq!(history.events[0].process, Process::Nemesis);
    assert_eq!(history.calls().map(|calls| calls.len()), Ok(2));
    assert_eq!(verdict(&text), Verdict::Ok);
    let tuples = text.replace(":value 1", ":value [5 1]").replace(":value nil", ":value [5 nil]");
    assert_eq!(verdict(&tuples), Verdict::Ok, "its values are no tuples");
}

/// To take any word for the nemesis would leave out what the client saw, and accept it unread.
#[test]
fn no_other_word_is_the_nemesis() {
    for word in [":w1", "\"1\"", "w1", ":jepsen/nemesis"] {
        let text = write_read("1", "2").replace(":process 1", &format!(":process {word}"));
        let error = format::read(&text).expect_err(word);
        assert!(error.to_string().contains(":process is a number or :nemesis"), "{error}");
    }
}

#[test]
fn maps_and_sets_have_no_order() {
    same_and_other("{:a {:b 1 :c 2} :d 3}", "{:d 3 :a {:c 2 :b 1}}", "{:d 3 :a {:c 1 :b 2}}");
    same_and_other("#{1 2 #{3}}", "#{#{3} 2 1}", "#{1 2 3}");
    same_and_other("\"a \\\"}{\"", "\"a \\\"}{\"", "\"a\"");
    same_and_other("\\a", "\\a", "\"a\"");
}

#[test]
fn line_ends_may_be_windows_own() {
    let text = write_read("1", "2").replace('\n', "\r\n");
    assert_eq!(verdict(&text), Verdict::Illegal);
    assert_eq!(read(&text).events[3].line, 4);
    let error = format::read(&text.replacen(":type :ok", ":type ok?", 1)).expect_err("no type");
    assert_eq!((error.line, error.column), (2, 20), "{error}");
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let text = format!("\u{feff}{}", write_read("1", "1"));
    assert_eq!(verdict(&text), Verdict::Ok);
    assert_eq!(format::text(text.as_bytes()), Ok(&*text));
}

/// Wherever a file is cut, it is told where; never read as a shorter history.
#[test]
fn a_truncated_file_is_told_with_line_and_column() {
    let text = format!("[{}]", write_read("\"é\"", "{:a [1 2]}").trim_end());
    let last = text.rfind('{').expect("there is a map");
    for cut in (1..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
        let error = format::read(&text[..cut]).expect_err(&text[..cut]);
        assert!(error.line >= 1 && error.column >= 1, "{error}");
    }
    // In the midst of the last map's vector, on line 4: what is never closed begins there.
    let error = format::read(&text[..last + 5]).expect_err("cut in a vector");
    let column = text[..last].rsplit('\n').next().map_or(0, |line| line.chars().count() + 1);
    assert_eq!(error.line, 4, "{error}");
    assert!(error.column as usize >= column, "{error}");
    let bytes = text.as_bytes();
    let within = text.find('é').expect("it is there") + 1;
    let error = format::text(&bytes[..within]).expect_err("cut in a letter");
    assert_eq!((error.line, error.what.as_str()), (1, "not UTF-8"));
}

/// Clients pair by process: nobody may complete what another began, or nothing.
#[test]
fn events_that_do_not_pair_are_told() {
    let text = write_read("1", "1").replacen(":process 0, :type :ok", ":process 7, :type :ok", 1);
    let error = read(&text).calls().expect_err("process 7 began nothing");
    assert_eq!(error.line, 2, "{error}");
}

/// As Knossos completes an invocation by what its completion says.
#[test]
fn a_completion_knows_best_what_was_written() {
    let history = |written: &str, read: &str| {
        format!(
            "{{:process 0, :type :invoke, :f :write, :value 2}}\n\
             {{:process 0, :type :ok, :f :write, :value {written}}}\n\
             {{:process 1, :type :invoke, :f :read, :value nil}}\n\
             {{:process 1, :type :ok, :f :read, :value {read}}}\n"
        )
    };
    for (written, read, expected) in [
        ("2", "2", Verdict::Ok),
        ("3", "3", Verdict::Ok),
        ("3", "2", Verdict::Illegal),
        ("nil", "2", Verdict::Ok),
        ("nil", "3", Verdict::Illegal),
    ] {
        assert_eq!(verdict(&history(written, read)), expected, "{written} {read}");
    }
}
