//! Templates tried with samples of what installations have, so that the lock and the build find what would fail on a host.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::{Environment, context};

use super::templates::render;
use super::values::{SettingValues, SiteParameters};
use crate::diagnostic::Diagnostic;
use crate::failure::Failure;
use crate::profile::Profile;
use crate::profile::model::{Encoding, Model, OperatorFolder, Secret, Template};
use crate::profile::setting::{Kind, Setting, Value};
use crate::profile::template::{identifier, unknown_names};

/// Most messages about one template.
const MESSAGES: usize = 3;
/// Most ways to set the settings that are tried: two for each setting is enough for hundreds of them.
const SAMPLES: usize = 1000;

/// The names that templates read.
const NAMES: [&str; 12] = [
    "host",
    "url_host",
    "mail_host",
    "name",
    "product",
    "version",
    "ports",
    "settings",
    "trusted",
    "files",
    "archives",
    "secrets",
];

type Settings = BTreeMap<String, Value>;

/// Renders all templates of a profile, secret ones too, with sample secrets, and with each setting set and not set as far
/// as the profile's rules allow it.
///
/// # Errors
/// All that is wrong, at the templates' `source` in the profile.
pub fn check_templates(profile: &Profile) -> anyhow::Result<()> {
    let model = &profile.model;
    let secrets = model.site.secrets.iter().map(|(name, secret)| (name.clone(), sample_secret(secret))).collect();
    let samples = samples(model);
    let models = with_and_without_archives(model);
    let mut diagnostics = Vec::new();
    for (path, template) in &model.site.templates {
        let found = problems(profile, path.get_ref(), template, (&models, &samples), &secrets);
        diagnostics.extend(
            found
                .into_iter()
                .take(MESSAGES)
                .map(|(message, hint)| Diagnostic::new(template.source.span(), message, hint)),
        );
    }
    if diagnostics.is_empty() { Ok(()) } else { Err(profile.diagnostics(diagnostics)) }
}

/// The profile as it is, and where it has optional archives, without and with all of them.
fn with_and_without_archives(model: &Model) -> Vec<Model> {
    let optional = |model: &Model| model.images.values().any(|image| image.archives.values().any(|a| a.optional));
    let all = |given: bool| {
        let mut model = model.clone();
        let archives = model.images.values_mut().flat_map(|image| image.archives.values_mut());
        archives.for_each(|archive| archive.given = given);
        model
    };
    if optional(model) { vec![all(false), all(true)] } else { vec![model.clone()] }
}

/// What is wrong with a template: messages and hints.
fn problems(
    profile: &Profile,
    path: &str,
    template: &Template,
    (models, samples): (&[Model], &[SiteParameters]),
    secrets: &BTreeMap<String, String>,
) -> BTreeSet<(String, String)> {
    let (model, source) = (&profile.model, template.source.get_ref().as_str());
    let mut found = BTreeSet::new();
    // In branches that no sample takes, too.
    let text = crate::files::read_text(&profile.sources.path(source)).unwrap_or_default();
    let site = &model.site;
    let known = |names: Vec<&String>| names.into_iter().map(|name| identifier(name)).collect::<BTreeSet<_>>();
    let archives = model.images.values().flat_map(|image| image.archives.keys());
    let groups = [
        ("ports", known(site.ports.keys().collect())),
        ("secrets", known(site.secrets.keys().collect())),
        ("trusted", known(site.trusted.keys().collect())),
        ("files", known(site.files.keys().collect())),
        ("archives", archives.map(|name| identifier(name.get_ref())).collect()),
    ];
    for (name, hint) in unknown_names(&text, &NAMES, &groups) {
        found.insert((format!("{source} reads {name}, which does not exist"), hint));
    }
    if !found.is_empty() {
        // What follows from a name with a dash would lead away from it.
        let names =
            site.secrets.keys().map(|name| ("secrets", name)).chain(site.ports.keys().map(|name| ("ports", name)));
        let dashed = names.filter(|(group, name)| name.contains('-') && text.contains(&format!("{group}.{name}")));
        let dashed: BTreeSet<(String, String)> = dashed
            .map(|(group, name)| {
                let message = format!("{source} reads {group}.{name}, in which `-` is a subtraction");
                (message, format!("write {group}.{}: dashes in names are `_` in templates", identifier(name)))
            })
            .collect();
        return if dashed.is_empty() { found } else { dashed };
    }
    for (model, parameters) in models.iter().flat_map(|model| samples.iter().map(move |sample| (model, sample))) {
        if let Err(error) = render(model, &profile.sources, path, template, parameters, secrets) {
            let hint = Failure::hint_in(&error).unwrap_or("profiles/README.md lists names and filters").to_owned();
            found.insert((crate::failure::one_line(error.as_ref()), hint));
        }
    }
    found
}

/// Values of an installation: as few settings as possible, all of them, and each one alone in its other states.
fn samples(model: &Model) -> Vec<SiteParameters> {
    let states: Vec<(&String, Vec<Value>)> =
        model.site.settings.iter().map(|(name, setting)| (name, states(setting))).collect();
    let pick = |choose: &dyn Fn(&[Value]) -> Value| -> Settings {
        states.iter().map(|(name, states)| ((*name).clone(), choose(states))).collect()
    };
    let fewest = pick(&|states| states.first().cloned().unwrap_or(Value::None));
    let most = pick(&|states| states.last().cloned().unwrap_or(Value::None));
    let mut all = vec![fewest.clone(), most.clone()];
    for (name, states) in &states {
        for (state, start) in states.iter().flat_map(|state| [(state, &fewest), (state, &most)]) {
            let mut settings = start.clone();
            settings.insert((*name).clone(), state.clone());
            all.push(settings);
        }
    }
    all.truncate(SAMPLES);
    all.retain(|settings| is_allowed(model, settings));
    let parameters = |(index, settings): (usize, Settings)| {
        let defaults = SiteParameters::defaults(model);
        let trusted = defaults.trusted.keys().map(|name| (name.clone(), index % 2)).collect();
        let paths = |folder: &OperatorFolder| match index % 2 {
            0 => Vec::new(),
            _ if folder.complete.is_empty() => vec!["sample".to_owned()],
            _ => folder.complete.clone(),
        };
        let files = model.site.files.iter().map(|(name, folder)| (name.clone(), paths(folder))).collect();
        SiteParameters { settings: SettingValues::new(settings), trusted, files, ..defaults }
    };
    all.into_iter().enumerate().map(parameters).collect()
}

/// The states of a setting: the first is not set, where that is possible; the last has a value.
fn states(setting: &Setting) -> Vec<Value> {
    let mut states = Vec::new();
    if !setting.required {
        states.push(setting.unset());
    }
    match setting.kind {
        Kind::Text | Kind::Word | Kind::Name => states.push(Value::Text("sample".into())),
        Kind::Url => {
            let scheme = setting.schemes.first().map_or("https", String::as_str);
            states.push(Value::Text(format!("{scheme}://sample.example/path")));
        }
        Kind::Host => states.push(Value::Text("sample.example".into())),
        Kind::Folder => states.push(Value::Text("/sample".into())),
        Kind::Port | Kind::Integer => states.push(Value::Number(1)),
        Kind::Boolean => states.extend([Value::Boolean(false), Value::Boolean(true)]),
        Kind::Choice => states.extend(setting.choices.iter().cloned().map(Value::Text)),
        Kind::List if !setting.choices.is_empty() => states.push(Value::List(setting.choices.clone())),
        Kind::List => states.push(Value::List(vec!["one".into(), "two".into()])),
        Kind::Tables => {
            let table = |choose: &dyn Fn(Vec<Value>) -> Option<Value>| -> BTreeMap<String, Value> {
                let fields = setting.fields.iter();
                fields
                    .map(|(name, field)| (identifier(name), choose(self::states(field)).unwrap_or(Value::None)))
                    .collect()
            };
            let fewest = table(&|states| states.into_iter().next());
            let most = table(&|states| states.into_iter().next_back());
            states.push(Value::Tables(vec![fewest.clone(), most.clone()]));
            states.push(Value::Tables(vec![fewest]));
            states.push(Value::Tables(vec![most]));
        }
    }
    states
}

/// Whether the rules of the profile allow these settings.
fn is_allowed(model: &Model, settings: &Settings) -> bool {
    let values = settings.iter().map(|(name, value)| (identifier(name), minijinja::Value::from(value)));
    let values = minijinja::Value::from_pairs(values);
    let environment = Environment::new();
    model.site.rules.values().all(|rule| {
        let test = environment.compile_expression(&rule.test);
        test.and_then(|test| test.eval(context! { settings => values.clone() })).is_ok_and(|value| value.is_true())
    })
}

/// A text like the secret, which no installation has.
fn sample_secret(secret: &Secret) -> String {
    let bytes = usize::try_from(secret.bytes).unwrap_or(12).min(1024);
    let length = match secret.encoding {
        Encoding::Hex => bytes * 2,
        Encoding::Base64 => bytes.div_ceil(3) * 4,
    };
    format!("{}{}", secret.prefix, "0123456789abcdef".chars().cycle().take(length).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = r#"
schema = 1
name = "sets"
product = "sets"
version = "1"
title = "Settings of operators in templates"
[debian]
suite = "trixie"
components = ["main"]
[images.web]
title = "w"
user = "1000:1000"
entrypoint = ["/usr/bin/busybox"]
[services.web]
image = "web"
config-files = { "a.yaml" = "/etc/a.yaml" }
[site.secrets.own]
bytes = 16
encoding = "base64"
[site.secrets.own-key]
bytes = 16
encoding = "base64"
[site.settings.pw]
title = "The password"
kind = "text"
secret = true
required = true
[site.settings.url]
title = "URL"
kind = "url"
schemes = ["https"]
[site.settings.mode]
title = "Mode"
kind = "choice"
choices = ["one", "two"]
[site.settings.stores]
title = "Stores"
kind = "tables"
fields.access-key = { title = "Key", kind = "word", required = true }
fields.size = { title = "Size", kind = "integer" }
[site.rules.stores]
test = "settings.stores | length > 0"
message = "there is no store"
[site.templates."a.yaml"]
source = "a.yaml"
group = 1000
mode = "0640"
secret = true
"#;

    /// What is wrong with a template of the profile, or nothing.
    fn check(template: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        fs_err::write(directory.path().join("profile.toml"), PROFILE).unwrap();
        fs_err::write(directory.path().join("a.yaml"), template).unwrap();
        let profile = Profile::load(directory.path()).unwrap();
        let error = check_templates(&profile).err().map(|error| error.to_string()).unwrap_or_default();
        let lines = error.lines().filter(|line| line.starts_with("error") || line.contains("hint:"));
        lines.map(str::trim).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_way_to_set_the_settings_is_tried() {
        let good = "pw: {{ settings.pw | tojson }} {{ secrets.own }} {{ settings.stores[0].access_key }}\n\
                    {% if settings.url %}{{ settings.url | upper }}{% endif %}{% if settings.mode == 'two' %}{{ 1 + 1 }}{% endif %}\n";
        assert_eq!(check(good), "");
        insta::assert_snapshot!(
            [
                "{{ secrts.own }}",
                "{% if false %}{{ secrets.onw }}{{ ports.nope }}{% endif %}",
                "{{ secrets.own-key }}",
                "{{ settings.pw | tojsn }}",
                "{{ settings.url + 'x' }}",
                "{% if settings.mode == 'two' %}{{ settings.mode | no }}{% endif %}",
                "{% for s in settings.stores %}{% if s.size %}{{ s.size.x.y }}{% endif %}{% endfor %}",
            ]
            .map(check)
            .join("\n"),
            @r"
        error: a.yaml reads secrts, which does not exist
        = hint: did you mean `secrets`? names in templates: `host`, `url_host`, `mail_host`, `name`, `product`, `version`, `ports`, `settings`, `trusted`, `files`, `archives`, `secrets`
        error: a.yaml reads ports.nope, which does not exist
        = hint: ports: none
        error: a.yaml reads secrets.onw, which does not exist
        = hint: did you mean `own`? secrets: `own`, `own_key`
        error: a.yaml reads secrets.own-key, in which `-` is a subtraction
        = hint: write secrets.own_key: dashes in names are `_` in templates
        error: a.yaml:1: filter tojsn is unknown: `{{ settings.pw | tojsn }}`
        = hint: profiles/README.md lists names and filters
        error: a.yaml:1: tried to use + operator on unsupported types none and string: `{{ settings.url + 'x' }}`
        = hint: profiles/README.md lists names and filters
        error: a.yaml:1: filter no is unknown: `{% if settings.mode == 'two' %}{{ settings.mode | no }}{% endif %}`
        = hint: profiles/README.md lists names and filters
        error: a.yaml:1: `s.size.x` is undefined: `{% for s in settings.stores %}{% if s.size %}{{ s.size.x.y }}{% endif %}{% endfor %}`
        = hint: a template reads host, url_host, mail_host, ports.NAME, settings.NAME, trusted.NAME, files.NAME, archives.NAME, name, product, version and, when it is marked `secret = true`, secrets.NAME (dashes in names as `_`)
        "
        );
    }
}
