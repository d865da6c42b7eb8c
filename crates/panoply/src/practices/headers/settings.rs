//! `[shield.headers]` as it is written.

use std::fmt;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::csp::Change;
use super::{
    CrossOriginEmbedderPolicy, CrossOriginOpenerPolicy, CrossOriginResourcePolicy, Csp, Headers, Hsts,
    OriginAgentCluster, ReferrerPolicy, XContentTypeOptions, XDnsPrefetchControl, XDownloadOptions,
    XFrameOptions, XPermittedCrossDomainPolicies, XXssProtection,
};
use crate::{Policy, SettingError};

/// Every key is a header, and its value the header's or `"off"`; what is missing is the gateway's default.
impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Settings::deserialize(deserializer)?.over(Self::in_front()).map_err(SettingError::into_serde)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    cautious: Option<bool>,
    csp: Option<Switch<PolicySetting>>,
    csp_report_only: Option<Switch<PolicySetting>>,
    cross_origin_embedder_policy: Option<Switch<CrossOriginEmbedderPolicy>>,
    cross_origin_opener_policy: Option<Switch<CrossOriginOpenerPolicy>>,
    cross_origin_resource_policy: Option<Switch<CrossOriginResourcePolicy>>,
    origin_agent_cluster: Option<Switch<OriginAgentCluster>>,
    referrer_policy: Option<Switch<ReferrerPolicy>>,
    hsts: Option<Switch<Hsts>>,
    x_content_type_options: Option<Switch<XContentTypeOptions>>,
    x_dns_prefetch_control: Option<Switch<XDnsPrefetchControl>>,
    x_download_options: Option<Switch<XDownloadOptions>>,
    x_frame_options: Option<Switch<XFrameOptions>>,
    x_permitted_cross_domain_policies: Option<Switch<XPermittedCrossDomainPolicies>>,
    x_xss_protection: Option<Switch<XXssProtection>>,
}

impl Settings {
    fn over(self, mut headers: Headers) -> Result<Headers, SettingError> {
        macro_rules! lay {
            ($($header:ident)+) => {
                $(if let Some(Switch(value)) = self.$header {
                    headers = headers.$header(value);
                })+
            };
        }
        lay! {
            cross_origin_embedder_policy cross_origin_opener_policy cross_origin_resource_policy
            origin_agent_cluster referrer_policy hsts x_content_type_options x_dns_prefetch_control
            x_download_options x_frame_options x_permitted_cross_domain_policies x_xss_protection
        }
        if let Some(cautious) = self.cautious {
            headers.cautious = cautious;
        }
        match self.csp {
            Some(Switch(Some(setting))) if setting.report_only => {
                if self.csp_report_only.is_some() {
                    return Err(twice());
                }
                return Ok(headers.csp_report_only(setting.csp));
            }
            Some(Switch(setting)) => headers = headers.csp(setting.map(|setting| setting.csp)),
            None => {}
        }
        if let Some(Switch(setting)) = self.csp_report_only {
            headers = headers.csp_report_only(setting.map(|setting| setting.csp));
        }
        Ok(headers)
    }
}

/// A header's value, or `"off"` or `false` for none.
struct Switch<T>(Option<T>);

/// What a header's value can be written as.
trait Written: for<'de> Deserialize<'de> {
    /// Whether `off` is a value of the header itself, so that only `false` is none.
    const OFF_IS_A_VALUE: bool = false;
}

impl Written for CrossOriginEmbedderPolicy {}
impl Written for CrossOriginOpenerPolicy {}
impl Written for CrossOriginResourcePolicy {}
impl Written for OriginAgentCluster {}
impl Written for ReferrerPolicy {}
impl Written for Hsts {}
impl Written for PolicySetting {}
impl Written for XContentTypeOptions {}
impl Written for XDnsPrefetchControl {
    const OFF_IS_A_VALUE: bool = true;
}
impl Written for XDownloadOptions {}
impl Written for XFrameOptions {}
impl Written for XPermittedCrossDomainPolicies {}
impl Written for XXssProtection {}

impl<'de, T: Written> Deserialize<'de> for Switch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SwitchVisitor(std::marker::PhantomData))
    }
}

struct SwitchVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Written> Visitor<'de> for SwitchVisitor<T> {
    type Value = Switch<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the header's value, or \"off\"")
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<Switch<T>, E> {
        if on {
            return Err(SettingError::new(
                "a header is its value or off, but `true` is neither",
                "write its value, or leave the line out for the default",
            )
            .into_serde());
        }
        Ok(Switch(None))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Switch<T>, E> {
        if text == "off" && !T::OFF_IS_A_VALUE {
            return Ok(Switch(None));
        }
        T::deserialize(text.into_deserializer()).map(|value| Switch(Some(value)))
    }

    // No header is written as a number: its own words on that are better than ours.
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Switch<T>, E> {
        T::deserialize(number.into_deserializer()).map(|value| Switch(Some(value)))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Switch<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(table)).map(|value| Switch(Some(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Switch<T>, A::Error> {
        T::deserialize(SeqAccessDeserializer::new(list)).map(|value| Switch(Some(value)))
    }
}

/// A policy: the header's text, or a table of directives over Helmet's.
struct PolicySetting {
    csp: Csp,
    report_only: bool,
}

impl<'de> Deserialize<'de> for PolicySetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PolicyVisitor)
    }
}

struct PolicyVisitor;

impl<'de> Visitor<'de> for PolicyVisitor {
    type Value = PolicySetting;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Content-Security-Policy, or a table with `directives`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<PolicySetting, E> {
        let csp = text.parse().and_then(Csp::checked).map_err(SettingError::into_serde)?;
        Ok(PolicySetting { csp, report_only: false })
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<PolicySetting, A::Error> {
        let table = Table::deserialize(MapAccessDeserializer::new(table))?;
        let base = match (table.use_defaults, table.report_only) {
            (false, _) => Csp::empty(),
            (true, false) => Csp::default(),
            (true, true) => Csp::reported(),
        };
        let csp = base
            .changed(table.directives.0, table.danger_without_default_src)
            .map_err(SettingError::into_serde)?;
        Ok(PolicySetting { csp, report_only: table.report_only })
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Table {
    use_defaults: bool,
    report_only: bool,
    danger_without_default_src: bool,
    directives: Directives,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            use_defaults: true,
            report_only: false,
            danger_without_default_src: false,
            directives: Directives::default(),
        }
    }
}

/// Directives in the order in which they are written.
#[derive(Default)]
struct Directives(Vec<(String, Change)>);

impl<'de> Deserialize<'de> for Directives {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DirectivesVisitor)
    }
}

struct DirectivesVisitor;

impl<'de> Visitor<'de> for DirectivesVisitor {
    type Value = Directives;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of directives")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Directives, A::Error> {
        let mut directives = Vec::new();
        while let Some(name) = table.next_key::<String>()? {
            let change = table.next_value_seed(ChangeOf(&name))?;
            directives.push((name, change));
        }
        Ok(Directives(directives))
    }
}

/// Reads one directive; its name is known, so that a mistake is reported at its own place.
struct ChangeOf<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for ChangeOf<'_> {
    type Value = Change;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Change, D::Error> {
        let name = self.0;
        let change = deserializer.deserialize_any(self)?;
        let outcome = match &change {
            Change::Set(sources) => Csp::empty().directive(name, sources),
            Change::Remove => Csp::default().without(name),
        };
        outcome.map(|_| change).map_err(SettingError::into_serde)
    }
}

impl<'de> Visitor<'de> for ChangeOf<'_> {
    type Value = Change;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of sources, one source, or `false` to leave the directive out")
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<Change, E> {
        if on {
            return Err(SettingError::new(
                format!("`true` is no source of {}", self.0),
                "write `[]` for a directive without sources",
            )
            .into_serde());
        }
        Ok(Change::Remove)
    }

    fn visit_str<E: de::Error>(self, source: &str) -> Result<Change, E> {
        if source == "off" {
            return Err(SettingError::new(
                format!("`off` in {} would be read as a host", self.0),
                "write `false` to leave the directive out",
            )
            .into_serde());
        }
        Ok(Change::Set(vec![source.to_owned()]))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Change, E> {
        Ok(Change::Remove)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Change, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Change::Set)
    }
}

fn twice() -> SettingError {
    SettingError::new(
        "there is one report-only policy, but `csp.report_only` and `csp_report_only` are both set",
        "leave `report_only` out of `csp`, and it is enforced",
    )
}
