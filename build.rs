//! Generates the messages, the stub, the client's methods and the descriptor set from `proto/`, by
//! tonic-build, prost and protox, where that is asked for.
//!
//! What they generate is checked in, in `src/generated`, since the generators and what they depend
//! on are 40 crates, which everybody who builds this one would have to build. With the feature
//! `generate` the crate is built from `proto/`, and the checked-in code is not used; the tests in CI of
//! this repository turn it on, and `tests/generated.rs` holds the two equal. After a
//! change of `proto/`, this writes `src/generated` anew:
//!
//! ```sh
//! GOOGLE_CHAT_GENERATE=1 cargo build --features generate
//! ```

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // For the `x-goog-api-client` header.
    let rustc = std::process::Command::new(std::env::var("RUSTC")?).arg("--version").output()?.stdout;
    let version = String::from_utf8(rustc)?.split(' ').nth(1).unwrap_or("unknown").trim().to_owned();
    println!("cargo:rustc-env=GOOGLE_CHAT_RUSTC={version}");
    println!("cargo:rerun-if-changed=build.rs");

    let checked_in = format!("{}/src/generated", std::env::var("CARGO_MANIFEST_DIR")?);
    #[cfg(feature = "generate")]
    let code = {
        let out = std::env::var("OUT_DIR")?;
        generate(out.as_ref())?;
        println!("cargo:rerun-if-env-changed=GOOGLE_CHAT_GENERATE");
        if std::env::var_os("GOOGLE_CHAT_GENERATE").is_some() {
            for file in [
                "google.api.rs",
                "google.apps.card.v1.rs",
                "google.chat.v1.rs",
                "google.rpc.rs",
                "google.r#type.rs",
                "google_chat.bin",
            ] {
                std::fs::copy(format!("{out}/{file}"), format!("{checked_in}/{file}"))?;
            }
        }
        out
    };
    #[cfg(not(feature = "generate"))]
    let code = checked_in;
    // Where `src/proto.rs` includes the code from.
    println!("cargo:rustc-env=GOOGLE_CHAT_CODE={code}");
    Ok(())
}

#[cfg(feature = "generate")]
fn generate(out: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    // The service, and what it does not import.
    const PROTOS: [&str; 5] = [
        "google/chat/v1/chat_service.proto",
        "google/chat/v1/app_command_metadata.proto",
        "google/api/httpbody.proto",
        "google/rpc/error_details.proto",
        "google/rpc/status.proto",
    ];

    println!("cargo:rerun-if-changed=proto");
    let set = out.join("descriptors.bin");

    // `protox::compile` returns prost types, which drop extensions and with
    // them `google.api.http`. The encoded set keeps them, so it is that which
    // is embedded and which the code generator reads.
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(PROTOS)?;
    std::fs::write(&set, compiler.encode_file_descriptor_set())?;

    let stub = tonic_prost_build::configure()
        .build_transport(false)
        // The same code for all features of this crate.
        .server_mod_attribute(".", "#[cfg(feature = \"server\")]")
        .server_mod_attribute(".", "#[cfg_attr(docsrs, doc(cfg(feature = \"server\")))]")
        // So that a backend or a mock has only the methods that it is about.
        .generate_default_stubs(true)
        .service_generator();
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names().skip_protoc_run().file_descriptor_set_path(&set);
    config.service_generator(Box::new(methods::Generator { stub, pool: compiler.descriptor_pool() }));
    // Comments are Markdown in the protos' own words; those of the well-known
    // types are not ours.
    tonic_prost_build::configure()
        // The generator of the services is the one above.
        .build_client(false)
        .build_server(false)
        .file_descriptor_set_path(&set)
        .skip_protoc_run()
        .compile_with_config(config, &PROTOS, &["proto"])?;

    // Source positions and comments served the generated documentation; the
    // embedded set goes without them.
    let mut lean = protox::Compiler::new(["proto"])?;
    lean.include_imports(true).open_files(PROTOS)?;
    std::fs::write(out.join("google_chat.bin"), lean.encode_file_descriptor_set())?;
    Ok(())
}

/// The methods of `google_chat::Client`, behind the stub and the server trait of tonic.
#[cfg(feature = "generate")]
mod methods {
    use std::fmt::{Result, Write};

    use prost_build::{Method, Service, ServiceGenerator};
    use protox::prost_reflect::{Cardinality, DescriptorPool, FieldDescriptor, Kind, MessageDescriptor, Value};

    pub(super) struct Generator {
        pub(super) stub: Box<dyn ServiceGenerator>,
        pub(super) pool: DescriptorPool,
    }

    impl ServiceGenerator for Generator {
        fn generate(&mut self, service: Service, code: &mut String) {
            self.stub.generate(service.clone(), code);
            self.methods(&service, code).expect("a String takes all that is written");
        }
    }

    impl Generator {
        fn methods(&self, service: &Service, code: &mut String) -> Result {
            for method in &service.methods {
                self.request(service, method, code)?;
            }
            writeln!(code, "/// Every method of `{}.{}`.", service.package, service.proto_name)?;
            writeln!(code, "impl crate::Client {{")?;
            for Method { comments, name, input_type, .. } in &service.methods {
                comments.append_with_indent(1, code);
                writeln!(
                    code,
                    "    pub fn {name}(&self, request: impl Into<{input_type}>) -> crate::Call<{input_type}> {{\n        \
                     crate::Call::new(self, request.into())\n    }}"
                )?;
            }
            writeln!(code, "}}")
        }

        /// Says of a request which method it is of, and how it is made.
        fn request(&self, service: &Service, method: &Method, code: &mut String) -> Result {
            let message = |name: &str| self.pool.get_message_by_name(name.trim_start_matches('.'));
            let input = message(&method.input_proto_type).expect("the pool has all messages");
            let output = message(&method.output_proto_type).expect("the pool has all messages");
            let Method { proto_name, input_type, output_type, .. } = method;
            let path = format!("/{}.{}/{proto_name}", service.package, service.proto_name);
            let has_request_id = has_string(&input, "request_id");

            writeln!(code, "impl crate::MethodRequest for {input_type} {{")?;
            writeln!(code, "    type Response = {output_type};\n    const PATH: &'static str = \"{path}\";")?;
            if has_request_id {
                writeln!(code, "    fn request_id_mut(&mut self) -> Option<&mut String> {{")?;
                writeln!(code, "        Some(&mut self.request_id)\n    }}")?;
            }
            writeln!(code, "}}")?;
            if has_request_id {
                writeln!(code, "impl crate::HasRequestId for {input_type} {{}}")?;
            }
            let is_paged = has_string(&input, "page_token") && has_string(&output, "next_page_token");
            // The pages of a search for spaces have a deprecated list as well: `client::pages` has it.
            if is_paged && proto_name != "SearchSpaces" {
                let Some((items, item)) = only_list(&output) else {
                    panic!("{proto_name}: its pages have not one list; implement PageRequest by hand in client::pages")
                };
                writeln!(code, "impl crate::PageRequest for {input_type} {{\n    type Item = {item};")?;
                writeln!(
                    code,
                    "    fn page_token_mut(&mut self) -> &mut String {{\n        &mut self.page_token\n    }}"
                )?;
                writeln!(code, "    fn next_page_token(page: &{output_type}) -> &str {{")?;
                writeln!(code, "        &page.next_page_token\n    }}")?;
                writeln!(
                    code,
                    "    fn items(page: {output_type}) -> Vec<{item}> {{\n        page.{items}\n    }}\n}}"
                )?;
            }
            self.constructor(&input, input_type, code)
        }

        /// Writes `of`, which takes what a request requires; and `From`, where that is one value.
        fn constructor(&self, input: &MessageDescriptor, input_type: &str, code: &mut String) -> Result {
            let (mut parameters, mut fields) = (Vec::new(), String::new());
            for field in input.fields().filter(|field| self.is_required(field)) {
                let name = field.name().to_owned();
                match field.kind() {
                    Kind::String => {
                        writeln!(fields, "            {name}: {name}.into(),")?;
                        parameters.push((name, "impl Into<String>".to_owned()));
                    }
                    Kind::Message(mask) if mask.full_name() == "google.protobuf.FieldMask" => {
                        writeln!(fields, "            {name}: Some(::prost_types::FieldMask {{")?;
                        writeln!(fields, "                paths: {name}.into_iter().map(Into::into).collect(),")?;
                        writeln!(fields, "            }}),")?;
                        parameters.push((name, "impl IntoIterator<Item = impl Into<String>>".to_owned()));
                    }
                    Kind::Message(message) if message.parent_message().is_none() => {
                        writeln!(fields, "            {name}: Some({name}),")?;
                        parameters.push((name, message.name().to_owned()));
                    }
                    kind => panic!("{}: no parameter is made of a required {kind:?}", field.full_name()),
                }
            }
            if parameters.is_empty() {
                return Ok(());
            }
            let names: Vec<String> = parameters.iter().map(|(name, _)| format!("`{name}`")).collect();
            let list: Vec<String> = parameters.iter().map(|(name, kind)| format!("{name}: {kind}")).collect();
            writeln!(code, "impl {input_type} {{")?;
            writeln!(code, "    /// A request with what it requires: {}.", names.join(", "))?;
            writeln!(code, "    pub fn of({}) -> Self {{", list.join(", "))?;
            writeln!(code, "        Self {{\n{fields}            ..Self::default()\n        }}\n    }}\n}}")?;
            match &parameters[..] {
                [(_, kind)] if kind.starts_with("impl") => writeln!(code, "crate::client::from_text!({input_type});"),
                [(name, kind)] => {
                    writeln!(code, "impl From<{kind}> for {input_type} {{")?;
                    writeln!(code, "    fn from({name}: {kind}) -> Self {{\n        Self::of({name})\n    }}\n}}")
                }
                _ => Ok(()),
            }
        }

        fn is_required(&self, field: &FieldDescriptor) -> bool {
            /// `google.api.FieldBehavior.REQUIRED`.
            const REQUIRED: i32 = 2;
            let behavior = self.pool.get_extension_by_name("google.api.field_behavior");
            behavior.is_some_and(|behavior| {
                let options = field.options();
                let behaviors = options.get_extension(&behavior);
                behaviors.as_list().is_some_and(|behaviors| behaviors.contains(&Value::EnumNumber(REQUIRED)))
            })
        }
    }

    fn has_string(message: &MessageDescriptor, name: &str) -> bool {
        let is_string = |field: FieldDescriptor| field.kind() == Kind::String && !field.is_list();
        message.get_field_by_name(name).is_some_and(is_string)
    }

    /// The one repeated field of a page, and the type of its items.
    fn only_list(page: &MessageDescriptor) -> Option<(String, String)> {
        let mut lists = page.fields().filter(|field| field.cardinality() == Cardinality::Repeated);
        let (list, None) = (lists.next()?, lists.next()) else { return None };
        let Kind::Message(item) = list.kind() else { return None };
        Some((list.name().to_owned(), item.name().to_owned()))
    }
}
