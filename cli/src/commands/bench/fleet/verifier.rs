//! Stands where the verifier's Lean would: it reads the one form of theorem that the fleet writes, and answers after the time that Lean was
//! measured to take.

use std::sync::Arc;
use std::time::Duration;

use atlas_bus::{Asked, Bus, ServeLimit, Work};
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_judge::{Certified, KernelVerdict, Receipt, SORRY, SigningKey};
use atlas_proto::letter::Letter as Kind;
use atlas_proto::{
    CheckLevel, CheckReply, CheckRequest, DeclarationFacts, Diagnostic, Letter, ModuleSource, Outcome,
    Severity,
};
use futures::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::book::{self, PACKAGE};

/// A check of an agent's, elaborated: 41.2 a second on two threads (docs/results/verification.md).
pub const CHECK: Duration = Duration::from_millis(49);
/// A certified verdict: 23.4 a second on two threads (the same table).
pub const CERTIFY: Duration = Duration::from_millis(85);
/// What it calls its Lean: nothing that a policy demands receipts of, though it gives them.
const TOOLCHAIN: &str = "stand-in";

/// Answers checks and certifications of `run`, `places` at once, until `shutdown`.
///
/// # Errors
/// The bus failed.
pub async fn run(
    bus: &Bus,
    run: &RunId,
    places: usize,
    shutdown: CancellationToken,
) -> Result<(), atlas_bus::Error> {
    let lean = Arc::new(Lean { bus: bus.clone(), key: SigningKey::from_seed(&[7; 32]) });
    let limit = ServeLimit { concurrency: places, waiting: 65_536 };
    let checks = Arc::clone(&lean);
    let answer = move |asked: Asked<CheckRequest>| {
        let lean = Arc::clone(&checks);
        async move { lean.answer(&asked.message).await }
    };
    let served = bus.serve("atlas.check", "lean-verifier", limit, answer, shutdown);
    tokio::try_join!(served, certify(run, lean, places)).map(drop)
}

async fn certify(run: &RunId, lean: Arc<Lean>, places: usize) -> Result<(), atlas_bus::Error> {
    let mut queue = lean.bus.work::<CheckRequest>(run, "certify", places).await?;
    let merge = ActorId::singleton(run, ActorKind::Merge);
    while let Some(work) = queue.next().await {
        let (lean, merge) = (Arc::clone(&lean), merge.clone());
        tokio::spawn(async move {
            if let Err(error) = lean.certify(&work, &merge).await {
                tracing::warn!(id = work.id, error, "a certification will be delivered again");
            }
        });
    }
    Ok(())
}

struct Lean {
    bus: Bus,
    key: SigningKey,
}

impl Lean {
    async fn certify(&self, work: &Work<CheckRequest>, merge: &ActorId) -> Result<(), String> {
        let _alive = work.keep_alive();
        let reply = self.answer(&work.message).await?;
        let letter = Letter { letter: Some(Kind::CheckReply(reply)) };
        let id = format!("certify:{}", work.message.id);
        self.bus.send(merge, letter, &id).await.map_err(|error| error.to_string())?;
        work.ack().await.map_err(|error| error.to_string())
    }

    async fn answer(&self, request: &CheckRequest) -> Result<CheckReply, String> {
        let certified = request.level() == CheckLevel::Certified;
        let takes = if certified { CERTIFY } else { CHECK };
        let asked = tokio::time::Instant::now();
        let mut reply = self.judge(request, certified).await?;
        reply.lean_ms = u32::try_from(takes.as_millis()).unwrap_or(u32::MAX);
        tokio::time::sleep_until(asked + takes).await;
        Ok(reply)
    }

    async fn judge(&self, request: &CheckRequest, certified: bool) -> Result<CheckReply, String> {
        let mut reply = CheckReply {
            id: request.id.clone(),
            outcome: Outcome::Accepted.into(),
            toolchain: TOOLCHAIN.to_owned(),
            ..CheckReply::default()
        };
        for module in request.modules.iter().filter(|module| request.check.contains(&module.name)) {
            let text = self.text(module).await?;
            let facts = match declared(&module.name, &text) {
                Ok(facts) => facts,
                Err(message) => {
                    reply.set_outcome(Outcome::Rejected);
                    let error = Severity::Error.into();
                    let at = module.name.clone();
                    reply.diagnostics.push(Diagnostic {
                        severity: error,
                        module: at,
                        message,
                        ..Diagnostic::default()
                    });
                    continue;
                }
            };
            if certified {
                let receipt = self.key.sign(receipt(module, &facts)).into_message();
                reply.receipts.push(receipt.map_err(|error| error.to_string())?);
            }
            reply.declarations.extend(facts);
        }
        if reply.outcome() == Outcome::Rejected {
            reply.receipts.clear();
        }
        Ok(reply)
    }

    async fn text(&self, module: &ModuleSource) -> Result<String, String> {
        let bytes = match &module.source {
            Some(source) => source.clone(),
            None => self.bus.file(&module.sha256).await.map_err(|error| error.to_string())?.to_vec(),
        };
        String::from_utf8(bytes).map_err(|error| error.to_string())
    }
}

/// The theorems of a module. The only proofs that pass are `sorry` and [`book::proof`].
fn declared(module: &str, text: &str) -> Result<Vec<DeclarationFacts>, String> {
    let mut facts = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(theorem) = line.strip_prefix("theorem ") else { continue };
        let (head, proof) = theorem.split_once(" := ").ok_or_else(|| format!("no proof: {line}"))?;
        let (name, statement) = head.split_once(' ').ok_or_else(|| format!("no statement: {line}"))?;
        let known = book::number(name).map(book::proof);
        let sorry = proof == "by" && lines.next().map(str::trim) == Some("sorry");
        if !sorry && known.as_deref() != Some(proof) {
            return Err(format!("unsolved goals in {name}"));
        }
        let name = format!("{PACKAGE}.{name}");
        facts.push(DeclarationFacts {
            kind: "theorem".to_owned(),
            module: module.to_owned(),
            statement: statement.to_owned(),
            statement_hash: hex::encode(Sha256::digest(statement)),
            axioms: sorry.then(|| SORRY.to_owned()).into_iter().collect(),
            uses_sorry: sorry,
            sorry_from: sorry.then(|| name.clone()).into_iter().collect(),
            name,
            ..DeclarationFacts::default()
        });
    }
    Ok(facts)
}

fn receipt(module: &ModuleSource, facts: &[DeclarationFacts]) -> Receipt {
    let certified = |facts: &DeclarationFacts| Certified {
        name: facts.name.clone(),
        kind: facts.kind.clone(),
        statement_hash: facts.statement_hash.clone(),
        axioms: facts.axioms.clone(),
        sorry_from: facts.sorry_from.clone(),
    };
    let kernel = |kernel: &str| KernelVerdict {
        kernel: kernel.to_owned(),
        declarations: u32::try_from(facts.len()).unwrap_or(u32::MAX),
        ..KernelVerdict::default()
    };
    Receipt {
        version: atlas_judge::VERSION,
        toolchain: TOOLCHAIN.to_owned(),
        module: module.name.clone(),
        source_sha256: module.sha256.clone(),
        export_sha256: module.sha256.clone(),
        declarations: facts.iter().map(certified).collect(),
        kernels: vec![kernel("stand-in one"), kernel("stand-in two")],
        allowed_axioms: atlas_judge::AXIOMS.map(str::to_owned).to_vec(),
        judge: atlas_judge::JUDGE.to_owned(),
        ..Receipt::default()
    }
}
