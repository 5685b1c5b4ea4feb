//! A large public corpus of protos: the descriptor set that `interop/corpus`
//! makes of the npm package google-proto-files. It is not there for a plain
//! `cargo test`, so the test is ignored until it is asked for.

use std::time::Instant;

use grpc_transcoding::{DescriptorPool, HttpRules};

/// Every variable of a template, with a value that its pattern takes.
fn values(template: &str) -> Vec<String> {
    let variables = template.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    let pattern = |variable: &str| variable.split_once('=').map_or("*", |(_, pattern)| pattern).to_owned();
    let fill = |(at, segment): (usize, &str)| match segment {
        "*" => format!("a b:{at}%é"),
        "**" => format!("x/{at}/+&"),
        literal => literal.to_owned(),
    };
    variables
        .map(|(variable, _)| pattern(variable).split('/').enumerate().map(fill).collect::<Vec<_>>().join("/"))
        .collect()
}

#[test]
#[ignore = "needs the descriptor set that interop/corpus makes, in GOOGLEAPIS_DESCRIPTORS"]
fn every_http_rule_of_googleapis_compiles_expands_and_matches() {
    let path = std::env::var("GOOGLEAPIS_DESCRIPTORS").expect("GOOGLEAPIS_DESCRIPTORS names the descriptor set");
    let set = std::fs::read(path).unwrap();
    let before = resident();
    let start = Instant::now();
    let all = HttpRules::new(&DescriptorPool::decode(&set).unwrap());
    let took = start.elapsed();
    println!("{} MB of descriptors in {took:?}, {} MB of tables", set.len() >> 20, (resident() - before) >> 10);
    let (mut methods, mut rules) = (0, 0);
    for method in all.methods() {
        methods += 1;
        for binding in method.bindings() {
            rules += 1;
            let template = binding.template();
            let values = values(template.as_str());
            let path = template.expand(&values).unwrap_or_else(|error| panic!("{binding:?}: {error}"));
            let back = template.matches(&path).unwrap();
            assert_eq!(back.as_ref(), Some(&values), "{binding:?}: {path}");
        }
    }
    println!("{methods} methods, {rules} HTTP rules");
    assert!(methods > 12_000 && rules > 10_000, "the corpus is not whole");
}

/// The memory that the process has, in kB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}
