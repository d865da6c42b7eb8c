//! `[shield.headers]` as it is written.

use std::fmt;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::csp::{CspText, WrittenCsp};
use super::{
    CrossOriginEmbedderPolicy, CrossOriginOpenerPolicy, CrossOriginResourcePolicy, Headers, Hsts,
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
    csp: Option<Switch<WrittenCsp>>,
    csp_report_only: Option<Switch<CspText>>,
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
        let reported = self.csp_report_only.map(|Switch(text)| text.map(|CspText(csp)| csp));
        match self.csp {
            Some(Switch(Some(written))) if written.report_only => match reported {
                Some(_) => return Err(twice()),
                None => headers = headers.csp_report_only(written.csp),
            },
            // Helmet's policy is reported until the operator says what to enforce.
            Some(Switch(written)) => {
                headers = headers.csp(written.map(|written| written.csp)).csp_report_only(reported.flatten());
            }
            None => headers = reported.into_iter().fold(headers, Headers::csp_report_only),
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
impl Written for WrittenCsp {}
impl Written for CspText {}
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

fn twice() -> SettingError {
    SettingError::new(
        "there is one report-only policy, but `csp.report_only` and `csp_report_only` are both set",
        "leave `report_only` out of `csp`, and it is enforced",
    )
}
