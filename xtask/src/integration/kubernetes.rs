// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manifests in `deploy/kubernetes`: valid by Kubernetes' schemas, without privilege, and in
//! agreement with each other and with what the program says.
//!
//! The validator, with the schemas of several releases, comes from PyPI (kubernetes-validate) into
//! the cache.

use crate::build::static_program;
use crate::util::steps::{Step, StepResult};
use crate::util::{process, pypi, workspace};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The validator's version; its newest schemas are of the Kubernetes release with this number.
const VALIDATOR: &str = "1.37.0";
/// The releases whose schemas must accept the manifests: the first that knows appArmorProfile, and
/// the newest.
const RELEASES: [&str; 2] = ["1.30.0", VALIDATOR];
/// The oldest that the validator brings, for what the component makes of them for older clusters.
const BEFORE: &str = "1.25.0";
/// A kustomization of a user's own: with the pods, and an annotation for all.
const OWN: &str = "apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../agent, redroid.yaml]
commonAnnotations: {owner: somebody}
";
/// The same for an older cluster.
const OLDER: &str = "apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../own]
components: [../before-1.30]
";

/// Everything about the manifests that needs no cluster.
pub(crate) fn step() -> Step {
    Step::new("Kubernetes manifests", || {
        let validator = Validator::ensure()?;
        let manifests = Manifests::read(&validator)?;
        for release in RELEASES {
            for manifest in &manifests.0 {
                validator.accepts(&manifest.path, release)?;
            }
        }
        validator.refuses_a_slip(&manifests.0[0].path)?;
        manifests.have_no_privilege()?;
        manifests.agree_on_the_device()?;
        manifests.agree_on_the_profile()?;
        let [oldest, newest] = RELEASES;
        Ok(StepResult::Passed(format!(
            "{} manifests by the schemas of {oldest} and {newest}",
            manifests.0.len()
        )))
    })
}

/// What kubectl makes of them without a cluster: each by itself, as bases, and with the component
/// for older clusters.
pub(crate) fn with_kubectl() -> Step {
    Step::new("Kubernetes bases", || {
        if Command::new("kubectl").args(["version", "--client"]).output().is_err() {
            return Ok(StepResult::Skipped(
                "there is no kubectl on this host, which makes the bases".to_owned(),
            ));
        }
        let validator = Validator::ensure()?;
        let manifests = Manifests::read(&validator)?;
        manifests.dry_run()?;
        manifests.are_bases(&validator)?;
        manifests.suit_older_clusters(&validator)?;
        Ok(StepResult::Passed(format!(
            "kubectl reads each manifest, makes both bases, and what {BEFORE} takes"
        )))
    })
}

/// Python's libraries for it, in the cache.
pub(crate) struct Validator(PathBuf);

impl Validator {
    /// Fetches it unless it is there.
    pub(crate) fn ensure() -> Result<Self> {
        pypi::package("kubernetes-validate", VALIDATOR).map(Self)
    }

    fn python(&self, code: &str, words: &[&str]) -> Command {
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", &self.0).args(["-c", code]).args(words);
        python
    }

    fn validate(&self, manifest: &Path, release: &str) -> Command {
        const MAIN: &str =
            "import sys; from kubernetes_validate.__main__ import main; sys.exit(main())";
        self.python(MAIN, &["--strict", "-k", release, &manifest.display().to_string()])
    }

    /// What a file holds.
    fn objects(&self, file: &Path) -> Result<Value> {
        let json = process::capture(&mut self.python(AS_JSON, &[&file.display().to_string()]))?;
        serde_json::from_str(&json).with_context(|| format!("reading {}", file.display()))
    }

    fn accepts(&self, manifest: &Path, release: &str) -> Result<()> {
        process::capture(&mut self.validate(manifest, release)).map(drop)
    }

    /// A check that cannot fail proves nothing: one letter less must be seen.
    fn refuses_a_slip(&self, manifest: &Path) -> Result<()> {
        let text = fs::read_to_string(manifest)
            .with_context(|| format!("reading {}", manifest.display()))?;
        let slip = workspace::cache("python")?.join("slip.yaml");
        fs::write(&slip, text.replacen("containers:", "container:", 1))
            .context("writing a manifest with a slip")?;
        let (said, status) = process::capture_both(&mut self.validate(&slip, VALIDATOR))?;
        ensure!(!status.success(), "the validator accepts `container:` for `containers:`:\n{said}");
        Ok(())
    }
}

/// A file, and the objects in it.
struct Manifest {
    path: PathBuf,
    objects: Value,
}

struct Manifests(Vec<Manifest>);

const AS_JSON: &str = "import json, sys, yaml; \
                       print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";

impl Manifests {
    fn read(validator: &Validator) -> Result<Self> {
        let mut found = Vec::new();
        for way in ["agent", "module"] {
            let folder = workspace::root().join("deploy/kubernetes").join(way);
            for entry in
                fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?
            {
                let path = entry?.path();
                if path.extension().is_some_and(|ending| ending == "yaml")
                    && !path.ends_with("kustomization.yaml")
                {
                    found.push(Manifest { objects: validator.objects(&path)?, path });
                }
            }
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        ensure!(
            found.len() == 4,
            "deploy/kubernetes holds {} manifests, this step knows four",
            found.len()
        );
        Ok(Self(found))
    }

    fn named(&self, name: &str) -> Result<&Value> {
        let found = self.0.iter().find(|manifest| manifest.path.ends_with(name));
        found
            .map(|manifest| &manifest.objects[0]["spec"]["template"]["spec"])
            .with_context(|| format!("no {name}"))
    }

    fn have_no_privilege(&self) -> Result<()> {
        for manifest in &self.0 {
            let spec = &manifest.objects[0]["spec"]["template"]["spec"];
            let containers = ["containers", "initContainers"]
                .iter()
                .filter_map(|list| spec[list].as_array())
                .flatten();
            for container in containers {
                let is_privileged = container["securityContext"]["privileged"] == true;
                ensure!(!is_privileged, "{} has a privileged container", manifest.path.display());
            }
        }
        Ok(())
    }

    /// kubectl reads each as the types it knows and gives the same name back; all that it does
    /// without a cluster.
    fn dry_run(&self) -> Result<()> {
        for Manifest { path, objects } in &self.0 {
            let mut kubectl = Command::new("kubectl");
            kubectl
                .args(["label", "--local", "--dry-run=client", "--output=json", "--filename"])
                .arg(path)
                .arg("tried=yes");
            let said: Value = serde_json::from_str(&process::capture(&mut kubectl)?)?;
            let container = |object: &Value| {
                object["spec"]["template"]["spec"]["containers"][0]["securityContext"].clone()
            };
            ensure!(
                said["metadata"]["name"] == objects[0]["metadata"]["name"]
                    && container(&said) == container(&objects[0]),
                "kubectl reads {} otherwise: {said}",
                path.display()
            );
        }
        Ok(())
    }

    /// What a base is made of is the file beside it, unchanged.
    fn are_bases(&self, validator: &Validator) -> Result<()> {
        for (way, name) in [("agent", "agent.yaml"), ("module", "device-plugin.yaml")] {
            let folder = workspace::root().join("deploy/kubernetes").join(way);
            let made = workspace::cache("python")?.join("made.yaml");
            fs::write(&made, kustomize(&folder)?).context("writing what a base makes")?;
            let file = self.0.iter().find(|manifest| manifest.path == folder.join(name));
            let file = file.with_context(|| format!("no {way}/{name}"))?;
            ensure!(
                validator.objects(&made)? == file.objects,
                "{} makes something else of {name}: {}",
                folder.display(),
                made.display()
            );
        }
        Ok(())
    }

    /// What the component makes is what an older cluster takes, as unconfined as before, and with
    /// what its user has annotated.
    fn suit_older_clusters(&self, validator: &Validator) -> Result<()> {
        // A kustomization reaches its bases by relative paths alone.
        let folder = workspace::cache("python")?.join("kustomize");
        workspace::make_whole(&folder, |part| {
            for name in ["agent", "before-1.30"] {
                let from = workspace::root().join("deploy/kubernetes").join(name);
                let mut copy = Command::new("cp");
                process::capture(copy.arg("-R").arg(from).arg(part.join(name)))?;
            }
            for (name, text) in [("own", OWN), ("older", OLDER)] {
                fs::create_dir(part.join(name)).context("making a user's own folder")?;
                fs::write(part.join(name).join("kustomization.yaml"), text)
                    .context("writing a user's own kustomization")?;
            }
            fs::copy(part.join("agent/redroid.yaml"), part.join("own/redroid.yaml"))
                .context("copying the pods")
                .map(drop)
        })?;
        let made = kustomize(&folder.join("older"))?;
        let file = folder.join("made.yaml");
        fs::write(&file, &made).context("writing what a kustomization makes")?;
        validator.accepts(&file, BEFORE)?;
        let objects = validator.objects(&file)?;
        for (kind, container) in [("DaemonSet", "agent"), ("StatefulSet", "redroid")] {
            let object =
                objects.as_array().into_iter().flatten().find(|object| object["kind"] == kind);
            let object = object.with_context(|| format!("no {kind} is made:\n{made}"))?;
            let annotations = &object["spec"]["template"]["metadata"]["annotations"];
            let annotation = format!("container.apparmor.security.beta.kubernetes.io/{container}");
            ensure!(
                annotations[annotation] == "unconfined",
                "{container} is not unconfined there:\n{made}"
            );
            ensure!(
                annotations["owner"] == "somebody",
                "a user's own annotation is lost for {container}:\n{made}"
            );
        }
        let plain = self.0.iter().find(|manifest| manifest.path.ends_with("agent/agent.yaml"));
        let plain = plain.context("no agent.yaml")?;
        ensure!(
            process::capture(&mut validator.validate(&plain.path, BEFORE)).is_err(),
            "{BEFORE} takes the agent without the component, which is of no use then"
        );
        Ok(())
    }

    /// The plugin offers what the pod asks for: both names.
    fn agree_on_the_device(&self) -> Result<()> {
        let arguments = &self.named("module/device-plugin.yaml")?["containers"][0]["args"];
        let after = |flag: &str| {
            let words = arguments.as_array().into_iter().flatten().filter_map(Value::as_str);
            words
                .skip_while(|word| *word != flag)
                .nth(1)
                .with_context(|| format!("the plugin lacks {flag}"))
        };
        let device: Value =
            serde_json::from_str(after("--device")?).context("the plugin's --device is no JSON")?;
        let resource =
            format!("{}/{}", after("--domain")?, device["name"].as_str().unwrap_or_default());
        let asked = &self.named("module/redroid.yaml")?["containers"][0]["resources"]["limits"];
        ensure!(asked[&resource] == 1, "the pod does not ask for {resource}: {asked}");
        let paths = device["groups"][0]["paths"].as_array().context("the plugin's paths")?;
        let paths: Vec<_> = paths.iter().filter_map(|path| path["path"].as_str()).collect();
        let id =
            fs::read_to_string("/proc/sys/kernel/random/boot_id").context("reading the boot id")?;
        let names = ["/dev/ashmem".to_owned(), format!("/dev/ashmem{}", id.trim())];
        for name in &names {
            ensure!(
                paths.iter().filter(|path| matches(path, name)).count() == 1,
                "{name} is not one of {paths:?}"
            );
        }
        Ok(())
    }

    /// The pod names the profile that the init container writes, and the profile the socket at
    /// which the agent listens.
    fn agree_on_the_profile(&self) -> Result<()> {
        let agent = self.named("agent/agent.yaml")?;
        let container = &self.named("agent/redroid.yaml")?["containers"][0];
        let profile = &container["securityContext"]["seccompProfile"];
        let name = profile["localhostProfile"].as_str().context("the pod names no profile")?;
        let words = |container: &Value| -> Result<Vec<String>> {
            Ok(serde_json::from_value(container["args"].clone())?)
        };
        let written = words(&agent["initContainers"][0])?;
        ensure!(
            written.last() == Some(&format!("/seccomp/{name}")),
            "the init container writes {written:?}, not {name}"
        );
        let listening = words(&agent["containers"][0])?;
        // What it would write: the same words but the last two, which name the file.
        let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
        let text = process::capture(Command::new(ashmem).args(&written[..written.len() - 2]))?;
        let listener = serde_json::from_str::<Value>(&text)?["listenerPath"]
            .as_str()
            .map(|path| format!("unix:{path}"));
        ensure!(
            listener.as_ref() == listening.last(),
            "the profile names {listener:?}, the agent has {listening:?}"
        );
        Ok(())
    }
}

/// What kubectl makes of a kustomization.
fn kustomize(folder: &Path) -> Result<String> {
    process::capture(Command::new("kubectl").arg("kustomize").arg(folder))
}

/// A pattern of the shell in which only `?` is special.
fn matches(pattern: &str, name: &str) -> bool {
    pattern.len() == name.len()
        && pattern
            .bytes()
            .zip(name.bytes())
            .all(|(wanted, found)| wanted == b'?' || wanted == found)
}
