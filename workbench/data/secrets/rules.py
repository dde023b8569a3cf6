"""What a secret looks like: the token formats that their issuers document, and the words that stand before a password.

A rule has two patterns. ``trigger`` is met by a pass over raw bytes (a whole JSON record, escapes and all) that costs
almost nothing; it may be met too often, never too seldom. ``regex`` is then tried on the decoded text around it, and
its group ``secret`` (or the whole match) is what is marked and redacted. A rule errs on the side of redacting: a
checksum that does not fit proves nothing about a format that may have changed, so none is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from workbench.data.secrets.judge import (
    is_harmless,
    is_password,
    is_random,
    is_session,
    is_told_password,
    is_url_password,
    is_user_and_password,
)

REACH = 512  # a secret begins at most this many bytes before the end of its trigger
AHEAD = 512

ALNUM = "[A-Za-z0-9]"
WORD = "[A-Za-z0-9_-]"
BASE64 = "[A-Za-z0-9+/=_-]"
HEX = "[a-f0-9]"
UUID = "[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of secret.

    Attributes
    ----------
    name
        Stable: stored with every mark and shown in ``[redacted: name]``.
    triggers
        Hyperscan patterns over raw bytes; of a fixed length behind their literal, so that each is reported once.
    regex
        Over decoded bytes.
    accept
        Judges the secret found, beside the whole match.
    ahead
        How many bytes behind the trigger the secret may go on.
    shows
        The first characters of the secret are its issuer's public prefix and may be shown.
    naming
        Names the rule by what was found, where one pattern stands for many.
    """

    name: str
    triggers: tuple[str, ...]
    regex: re.Pattern[bytes]
    accept: Callable[[bytes, re.Match[bytes]], bool]
    ahead: int = AHEAD
    shows: bool = True
    naming: Callable[[re.Match[bytes]], str] | None = None


def _rule(
    name: str,
    trigger: str,
    regex: str,
    accept: Callable[[bytes, re.Match[bytes]], bool] = is_random,
    *,
    ahead: int = AHEAD,
    shows: bool = True,
) -> Rule:
    return Rule(name, (trigger,), re.compile(regex.encode()), accept, ahead, shows)


# Where a token may begin: not inside a word, but behind an escape that JSON text inside a string still has.
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf]))"


def _token(name: str, prefix: str, chars: str, least: int, most: int = 0, *, end: str = "") -> Rule:
    """A prefix and so many random characters; ``most`` = how many more there may be, at most."""
    most = most or least
    chars = chars if chars[0] == "[" and chars[-1] == "]" else f"(?:{chars})"
    # A prefix that nothing else is spelt like may stand anywhere, e.g. behind a terminal's colour code.
    start = "" if re.fullmatch(r"[a-z]\w{2,}[_-].*", prefix) else _START
    stop = f"(?!{chars})" if most == least else ""
    return _rule(
        name,
        # Twelve characters tell enough, and more would cost time when the patterns are compiled.
        f"(?:{prefix}){chars}{{{min(least, 12)}}}",
        f"{start}(?P<secret>(?:{prefix}){chars}{{{least},{most}}}{end}){stop}",
        ahead=most - least + 64,
    )


@cache
def rules() -> tuple[Rule, ...]:
    """All rules; where two find the same text, the earlier one names it."""
    return (*_pem(), *_tokens(), *_places(), *_keywords(), *_general())


def _pem() -> Iterator[Rule]:
    # The body has line ends, real ones or escaped ones; a key that is cut off in the middle is one too.
    body = r"(?:[A-Za-z0-9+/=:,. -]|[\r\n\t]|\\{1,7}[nrt]){20,16000}"
    head = r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    yield _rule(
        "private-key",
        r"PRIVATE KEY(?: BLOCK)?-----",
        rf"(?P<secret>{head}{body}(?:-----END [A-Z0-9 ]{{1,40}}-----)?)",
        ahead=20_000,
    )
    yield _rule(
        "putty-private-key",
        r"Private-Lines: \d",
        rf"Private-Lines: \d{{1,4}}(?P<secret>{body})",
        ahead=20_000,
        shows=False,
    )
    yield _token("age-secret-key", "AGE-SECRET-KEY-1", "[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]", 58)


def _tokens() -> Iterator[Rule]:
    """Tokens that a prefix tells, as their issuers document them."""
    yield _token("aws-access-key", "AKIA|ASIA|ABIA|ACCA", "[A-Z2-7]", 16)
    yield _token("aws-session-token", "FwoGZXIvYXdzE|IQoJb3JpZ2lu", "[A-Za-z0-9+/=]", 80, 2000)
    yield _token("aws-bedrock-key", "ABSK", "[A-Za-z0-9+/=]", 100, 300)
    yield _token("aws-mws-token", r"amzn\.mws\.", "[a-f0-9-]", 36)
    yield _token("github-token", "ghp_|gho_|ghu_|ghs_|ghr_", ALNUM, 36, 255)
    yield _token("github-fine-grained-token", "github_pat_", "[A-Za-z0-9_]", 60, 255)
    yield _token(
        "gitlab-token",
        "glpat-|gldt-|glrt-|glrtr-|glcbt-|glptt-|glft-|glimt-|glagent-|gloas-|glsoat-|glffct-|GR1348941",
        "[A-Za-z0-9_.-]",
        20,
        300,
    )
    yield _token("slack-token", "xox[abeprso]-", "[A-Za-z0-9-]", 20, 255)
    yield _token("slack-config-token", r"xoxe\.xox[bp]-1-", "[A-Za-z0-9-]", 40, 255)
    yield _token("slack-app-token", "xapp-1-|xapp-", "[A-Za-z0-9-]", 40, 255)
    yield _token("slack-webhook", r"hooks\.slack\.com/(?:services|workflows|triggers)/", "[A-Za-z0-9/+_-]", 24, 120)
    yield _token("stripe-key", "sk_live_|rk_live_|sk_test_|rk_test_|sk_prod_|rk_prod_", ALNUM, 10, 247)
    yield _token("stripe-webhook-secret", "whsec_", "[A-Za-z0-9+/=]", 24, 128)
    yield _rule(
        "openai-key", f"{WORD}{{8}}T3BlbkFJ{WORD}{{16}}", rf"(?P<secret>\bsk-{WORD}{{8,120}}T3BlbkFJ{WORD}{{16,140}})"
    )
    yield _token("openai-key", "sk-proj-|sk-svcacct-|sk-admin-|sk-service-", WORD, 40, 250)
    yield _token("anthropic-key", "sk-ant-(?:api|admin|sid|oat|ort)[0-9]{2}-", WORD, 60, 250)
    yield _token("openrouter-key", "sk-or-v1-", HEX, 64)
    yield _token("langfuse-key", "sk-lf-", "[a-f0-9-]", 36)
    yield _token("langsmith-key", "lsv2_(?:pt|sk)_", "[a-f0-9_]", 40, 60)
    yield _token("google-api-key", "AIza", WORD, 35)
    yield _token("google-oauth-secret", "GOCSPX-", WORD, 28)
    yield _token("google-oauth-token", r"ya29\.", WORD, 30, 600)
    yield _token("google-refresh-token", "1//0", WORD, 40, 200)
    yield _token("azure-ad-client-secret", r"[A-Za-z0-9_~.-]{3}[0-9]Q~", "[A-Za-z0-9_~.-]", 31, 34)
    yield _rule("azure-devops-token", "AZDO[A-Za-z0-9]{4}", rf"(?P<secret>{ALNUM}{{76}}AZDO{ALNUM}{{4}})")
    yield _token("npm-token", "npm_", ALNUM, 36)
    yield _token("pypi-token", "pypi-AgE", WORD, 50, 300)
    yield _token("rubygems-key", "rubygems_", HEX, 48)
    yield _token("crates-io-token", "cio", ALNUM, 32)
    yield _token("clojars-token", "CLOJARS_", "[a-z0-9]", 60)
    yield _token("nuget-key", "oy2", "[a-z0-9]", 43)
    yield _token("docker-token", "dckr_pat_|dckr_oat_", WORD, 27, 40)
    yield _token("huggingface-token", "hf_|api_org_", ALNUM, 34, 40)
    yield _token("replicate-token", "r8_", ALNUM, 37, 40)
    yield _token("groq-key", "gsk_", ALNUM, 48, 60)
    yield _token("xai-key", "xai-", ALNUM, 70, 90)
    yield _token("perplexity-key", "pplx-", ALNUM, 40, 60)
    yield _token("fireworks-key", "fw_", ALNUM, 22, 24)
    yield _token("cerebras-key", "csk-", ALNUM, 40, 60)
    yield _token("tavily-key", "tvly-(?:dev-|prod-)?", WORD, 24, 60)
    yield _token("pinecone-key", "pcsk_", "[A-Za-z0-9_]", 50, 90)
    yield _token("wandb-key", "wandb_v1_", WORD, 40, 120)
    yield _token("e2b-key", "e2b_", HEX, 40)
    yield _token("nvidia-key", "nvapi-", WORD, 60, 70)
    yield _token("voyage-key", "pa-", WORD, 43)
    yield _token("twilio-key", "SK|AC", HEX, 32)
    yield _token("sendgrid-key", r"SG\.", r"[A-Za-z0-9_.-]", 60, 70)
    yield _token("mailgun-key", "key-", HEX, 32)
    yield _token("mailchimp-key", f"{HEX}{{32}}-us", "[0-9]", 1, 2)
    yield _token("brevo-key", "xkeysib-|xsmtpsib-", "[a-f0-9A-Za-z-]", 70, 90)
    yield _token("resend-key", "re_[A-Za-z0-9]{8}_", ALNUM, 20, 30)
    yield _token("telegram-bot-token", "[0-9]{8,10}:AA", WORD, 33)
    yield _rule(
        "discord-token",
        rf"[MNO]{WORD}{{23}}\.|[MNO]{WORD}{{25}}\.",
        rf"{_START}(?P<secret>[MNO]{WORD}{{23,27}}\.{WORD}{{6}}\.{WORD}{{27,38}})",
    )
    yield _token("discord-webhook", "discord(?:app)?.com/api/webhooks/", "[A-Za-z0-9_/-]", 60, 120)
    yield _token("teams-webhook", r"webhook\.office\.com/webhookb2/", "[A-Za-z0-9@/-]", 60, 300)
    yield _token("databricks-token", "dapi", HEX, 32)
    yield _token("digitalocean-token", "dop_v1_|doo_v1_|dor_v1_", HEX, 64)
    yield _token("heroku-key", "HRKU-", WORD, 36, 70)
    yield _token("flyio-token", "fo1_|fm1[ar]_|fm2_", "[A-Za-z0-9+/=_-]", 43, 800)
    yield _token("vercel-token", "vcp_|vci_|vca_|vcr_|vck_", ALNUM, 24, 80)
    yield _token("netlify-token", "nfp_|nfc_|nfo_|nfu_", ALNUM, 36, 60)
    yield _token("render-key", "rnd_", ALNUM, 28, 40)
    yield _token("supabase-token", "sbp_|sb_secret_", "[A-Za-z0-9_-]", 31, 60)
    yield _token("planetscale-token", "pscale_(?:tkn|pw|oauth)_", r"[A-Za-z0-9_.=-]", 32, 64)
    yield _token("neon-key", "napi_", "[a-z0-9]", 60, 70)
    yield _token("hashicorp-token", "hvs[.]|hvb[.]|hvr[.]", WORD, 24, 300)
    yield _rule("terraform-token", r"\.atlasv1\.", rf"(?P<secret>{ALNUM}{{14}}\.atlasv1\.[A-Za-z0-9_=-]{{40,80}})")
    yield _token("pulumi-token", "pul-", HEX, 40)
    yield _token("doppler-token", r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?", ALNUM, 40, 44)
    yield _token("infisical-token", r"st\.[a-f0-9]{24}\.", "[a-f0-9.]", 32, 100)
    yield _token("1password-secret-key", "A3-[A-Z0-9]{6}-", "[A-Z0-9-]", 27, 33)
    yield _token("1password-service-token", "ops_eyJ", "[A-Za-z0-9+/=_-]", 200, 1200)
    yield _token("new-relic-key", "NRAK-|NRIQ-|NRII-", WORD, 27, 40)
    yield _token("new-relic-browser-key", "NRJS-", HEX, 19)
    yield _token("grafana-token", "glc_|glsa_", "[A-Za-z0-9+/=_]", 40, 400)
    yield _token("grafana-key", "eyJrIjoi", "[A-Za-z0-9+/=]", 60, 400)
    yield _token("sentry-token", "sntrys_eyJ|sntryu_", "[A-Za-z0-9+/=_]", 64, 400)
    yield _token("dynatrace-token", r"dt0[a-zA-Z][0-9]{2}\.[A-Z0-9]{24}\.", "[A-Z0-9]", 64)
    yield _token("honeycomb-key", "hcaik_|hcbik_|hcalk_|hcxik_", "[a-z0-9]", 50, 64)
    yield _token("posthog-key", "phx_|phs_", ALNUM, 40, 60)
    yield _token("shopify-token", "shpat_|shpca_|shppa_|shpss_|shpua_", "[a-fA-F0-9]", 32)
    yield _token("square-token", "sq0atp-|sq0csp-|sq0idp-", WORD, 22, 43)
    yield _token("square-access-token", "EAAA", "[A-Za-z0-9_+=-]", 60)
    yield _token("facebook-token", "EAA[MC]", ALNUM, 80, 300)
    yield _token("paypal-braintree-token", r"access_token\$production\$[a-z0-9]{16}\$", HEX, 32)
    yield _token("plaid-token", "access-(?:sandbox|development|production)-", "[a-f0-9-]", 36)
    yield _token("flutterwave-key", "FLWSECK_TEST-|FLWSECK-", "[a-zA-Z0-9-]", 12, 45)
    yield _token("razorpay-key", "rzp_live_|rzp_test_", ALNUM, 14)
    yield _token("paystack-key", "sk_live_|sk_test_", HEX, 40)
    yield _token("easypost-token", "EZAK|EZTK", ALNUM, 54)
    yield _token("shippo-token", "shippo_live_|shippo_test_", HEX, 40)
    yield _token("duffel-token", "duffel_test_|duffel_live_", "[A-Za-z0-9_=-]", 43)
    yield _token("frameio-token", "fio-u-", "[A-Za-z0-9_=-]", 64)
    yield _token("airtable-token", r"pat[A-Za-z0-9]{14}\.", HEX, 64)
    yield _token("notion-token", "ntn_", ALNUM, 40, 60)
    yield _token("linear-key", "lin_api_|lin_oauth_", ALNUM, 32, 80)
    yield _token("figma-token", "figd_|figo_|figu_|figor_|figur_", WORD, 40, 60)
    yield _token("asana-token", r"[0-9]/[0-9]{16}(?:/[0-9]{16})?:", HEX, 32)
    yield _token("atlassian-token", "ATATT3|ATCTT3|ATSTT3", "[A-Za-z0-9_=-]", 60, 250)
    yield _token("bitbucket-token", "ATBB", ALNUM, 28, 40)
    yield _token("postman-key", "PMAK-[a-f0-9]{24}-", HEX, 34)
    yield _token("readme-key", "rdme_", "[a-z0-9]", 70)
    yield _token("prefect-key", "pnu_|pnb_", ALNUM, 36)
    yield _token("typeform-token", "tfp_", "[A-Za-z0-9_.=-]", 40, 70)
    yield _token("contentful-token", "CFPAT-", WORD, 43)
    yield _token("hubspot-token", "pat-(?:na1|na2|eu1|ap1)-", "[a-f0-9-]", 36)
    yield _token("alibaba-access-key", "LTAI", ALNUM, 17, 21)
    yield _token("tencent-secret-id", "AKID", ALNUM, 32)
    yield _token("yandex-token", "AQVN|t1[.]", "[A-Za-z0-9_.=-]", 35, 300)
    yield _token("adobe-secret", "p8e-", "[a-zA-Z0-9]", 32)
    yield _token("artifactory-token", "AKCp|cmVmdGtu", "[A-Za-z0-9]", 56, 90)
    yield _token("sourcegraph-token", "sgp_|sgd_", "[a-zA-Z0-9_-]", 40, 100)
    yield _token("snyk-token", r"snyk_(?:uat|sat)\.", r"[A-Za-z0-9_.-]", 40, 200)
    yield _token("sonar-token", "squ_|sqp_|sqa_", ALNUM, 40)
    yield _token("circleci-token", "CCIPAT_|CCIPRJ_", "[A-Za-z0-9_]", 40, 100)
    yield _token("buildkite-token", "bkua_|bkaj_|bkct_", "[a-f0-9A-Za-z]", 40, 80)
    yield _token("launchdarkly-key", "(?:sdk|mob)-", UUID, 1)
    yield _token("mapbox-token", r"[sp]k\.eyJ", r"[A-Za-z0-9_.-]", 50, 120)
    yield _token("tailscale-key", "tskey-(?:auth|api|client|scim|webhook)-", WORD, 20, 80)
    yield _token("cloudflare-origin-ca-key", r"v1\.0-", "[a-f0-9-]", 150, 175)
    yield _token("onfido-token", r"api_(?:live|sandbox)(?:_[a-z]{2})?\.", r"[A-Za-z0-9_.-]", 40, 60)
    yield _token("openshift-token", "sha256~", WORD, 43)
    yield _token("firebase-cloud-messaging", "AAAA[A-Za-z0-9_-]{7}:", WORD, 140, 180)
    yield _token("facebook-app-token", r"[0-9]{15,16}\|", WORD, 27)
    yield _token("dropbox-token", r"sl\.(?:u\.)?", WORD, 130, 1400)
    yield _token("linkedin-token", "AQ[UVWX]", WORD, 180, 600)
    yield _token("zapier-webhook", "hooks.zapier.com/hooks/catch/", "[A-Za-z0-9/]", 12, 40)
    yield _token("vault-batch-token", "b[.]AAAAAQ", WORD, 100, 400)
    yield _token("livekit-key", "lk_", ALNUM, 32, 48)
    yield _token("langchain-hub-key", "ls__", HEX, 32)
    yield _token("sk-key", "sk-", f"(?:{ALNUM}{{48}}|{HEX}{{32}})", 1)  # OpenAI's first form, and who took it over
    yield _token("octopus-deploy-key", "API-", "[A-Z0-9]", 26)
    yield _token("maxmind-key", "[A-Za-z0-9]{6}_", f"{ALNUM}{{29}}_mmk", 1)
    yield _token("helicone-key", "sk-helicone-", "[a-z0-9-]", 30, 60)


def _places() -> Iterator[Rule]:
    """Secrets that their place tells: in a URL, behind ``Authorization:``."""
    yield _rule(
        "url-password",
        r"[a-z0-9+]://[^\s:@/\"'<>]{0,64}:[^\s@/\"'<>]{1,128}@[A-Za-z0-9\[]",
        r"(?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s:@/\"'<>{}$]{0,64}:(?P<secret>[^\s@/\"'<>{}$]{3,128})@[A-Za-z0-9\[]",
        is_url_password,
        shows=False,
    )
    yield _rule(
        "json-web-token",
        r"eyJ[A-Za-z0-9_-]{10}",
        r"(?P<secret>eyJ[A-Za-z0-9_-]{10,4000}\.(?:eyJ|[A-Za-z0-9_-]{4})[A-Za-z0-9_-]{8,12000}(?:\.[A-Za-z0-9_-]{10,2000})?)",
        ahead=19_000,
    )
    yield _rule(
        "basic-authorization",
        r"(?i)basic[ +]{1,2}[A-Za-z0-9+/_=-]{8}",
        r"(?i)\bbasic[ +]{1,2}(?P<secret>[A-Za-z0-9+/_-]{6,1000}={0,2})",
        is_user_and_password,
        ahead=1024,
        shows=False,
    )
    yield _rule(
        "bearer-token",
        r"(?i)bearer[ +]{1,2}[A-Za-z0-9._~+/=-]{12}|authorization[\\\\\"' ]{0,8}[:=][\\\\\"' ]{0,8}token ",
        r"(?i)\b(?:bearer|authorization\\{0,3}[\"']?: ?\\{0,3}[\"']?token)[ +]{1,2}"
        r"(?P<secret>[A-Za-z0-9._~+/-]{16,4000}={0,2})",
        is_random,
        ahead=4096,
        shows=False,
    )
    pair = r"[A-Za-z0-9_.~-]{1,64}=[^\s;,\"'\\]{1,4000}"
    yield _rule(
        "http-cookie",
        r"(?i)cookie\\{0,7}[\"']?: ?\\{0,7}[\"']?[A-Za-z0-9_.~-]",
        r"(?i)\b(?:set-)?cookie\\{0,7}[\"']?: ?\\{0,7}[\"']?"
        rf"(?P<secret>{pair}(?:; ?{pair}){{0,50}})",
        is_session,
        ahead=8192,
        shows=False,
    )
    yield _rule(
        "azure-account-key",
        r"(?i)(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{40}",
        r"(?i)(?:AccountKey|SharedAccessKey)=(?P<secret>[A-Za-z0-9+/]{40,88}={0,2})",
        shows=False,
    )
    yield _rule(
        "azure-sas-signature",
        "sig=[A-Za-z0-9%+/]{12}",
        r"[?&;6]sig=(?P<secret>[A-Za-z0-9%+/]{43,80}={0,2})",  # 6: of an escaped ampersand
        shows=False,
    )
    yield _token("aws-presigned-signature", "X-Amz-Signature=", "[a-f0-9]", 64)
    yield _rule(
        "registry-login",
        r"(?i)auth\\{0,7}[\"'][ ]?:[ ]?\\{0,7}[\"'][A-Za-z0-9+/]{8}",
        r"(?i)[\"']auth\\{0,7}[\"'][ ]?:[ ]?\\{0,7}[\"'](?P<secret>[A-Za-z0-9+/]{8,1000}={0,2})",
        is_user_and_password,
        ahead=1024,
        shows=False,
    )
    yield _rule(
        "told-password",
        r"(?i)(?:pass(?:word|phrase|code)|pwd) is:? \\{0,7}[\"'`]?[^\s\"'`\\]",
        r"(?i)(?:pass(?:word|phrase|code)|pwd) is:? \\{0,7}[\"'`]?(?P<secret>[^\s\"'`\\<>(){}\[\],;]{6,128})",
        is_told_password,
        shows=False,
    )
    yield _rule(
        "curl-password",
        r"curl[^\n]{0,200}(?:-u|--user)[ =]",
        r"curl\b[^\n]{0,200}\s(?:-u|--user)[ =]\\{0,3}[\"']?[^\s:\"'\\]{1,64}:(?P<secret>[^\s\"'\\]{3,128})",
        is_password,
        shows=False,
    )
    yield _rule(
        "shell-password",
        r"(?:mysql|mysqldump|mariadb|(?:docker|podman) login|sshpass|PGPASSWORD|REDISCLI_AUTH|MYSQL_PWD)",
        r"(?:\b(?:mysql|mysqldump|mariadb)\b[^\n]{0,100}\s-p|\b(?:docker|podman) login\b[^\n]{0,200}\s-p[ =]"
        r"|\bsshpass -p ?|\b(?:PGPASSWORD|REDISCLI_AUTH|MYSQL_PWD)=)"
        r"\\{0,3}[\"']?(?P<secret>[^\s\"'\\$]{4,128})",
        is_password,
        shows=False,
    )


def _keywords() -> Iterator[Rule]:
    """Values of a plain shape that the vendor's name before them tells: ``DATADOG_API_KEY=…``."""
    names = "|".join(name.replace("-", "[_. -]?") for name in _VENDORS)
    yield Rule(
        "vendor-key",
        # One pattern for each: together they are a hundred times slower.
        tuple(rf"(?i){name}{_NAMED}{_SIGN}[A-Za-z0-9/+_-]{{12}}" for name in names.split("|")),
        re.compile(
            rf"(?i)(?P<vendor>{names})(?P<key>[A-Za-z0-9_. -]{{0,30}}?){_SIGN}"
            rf"(?P<secret>[A-Za-z0-9/+_=.%-]{{14,120}})(?![A-Za-z0-9/+_=-])".encode()
        ),
        _is_vendors,
        shows=False,
        naming=_vendor,
    )


def _vendor(match: re.Match[bytes]) -> str:
    return f"{re.sub(rb'[_. -]', b'-', match['vendor'].lower()).decode()}-key"


def _is_vendors(secret: bytes, match: re.Match[bytes]) -> bool:
    name = _vendor(match).removesuffix("-key")
    shape = _VENDORS.get(name) or _VENDORS[next(vendor for vendor in _VENDORS if vendor.replace("-", "") == name)]
    is_so = re.fullmatch(shape.encode(), secret) is not None
    return is_so and is_random(secret, match) and not is_harmless(match["vendor"] + match["key"])


_VENDORS = {
    "aws": "[A-Za-z0-9/+]{40}",
    "secret-access-key": "[A-Za-z0-9/+]{40}",
    "adafruit": "[a-z0-9_-]{32}",
    "adobe": "[a-f0-9]{32}",
    "airtable": "key[A-Za-z0-9]{14}",
    "algolia": "[a-f0-9]{32}",
    "amplitude": "[a-f0-9]{32}",
    "asana": "[A-Za-z0-9]{32}",
    "assemblyai": "[a-f0-9]{32}",
    "atlassian": "[A-Za-z0-9]{24}",
    "azure": "[A-Za-z0-9]{32}(?:[A-Za-z0-9]{20}[A-Za-z0-9]{32})?",
    "beamer": "b_[A-Za-z0-9=_-]{44}",
    "bitbucket": "[A-Za-z0-9=_-]{32,64}",
    "bittrex": "[A-Za-z0-9]{32}",
    "brave": "BSA[A-Za-z0-9_-]{27,28}",
    "cisco-meraki": "[a-f0-9]{40}",
    "cloudflare": "[A-Za-z0-9_-]{37,40}",
    "codecov": "(?:[a-f0-9-]{36}|[A-Za-z0-9]{32})",
    "cohere": "[A-Za-z0-9]{40}",
    "coinbase": "[A-Za-z0-9_-]{64}",
    "confluent": "[A-Za-z0-9+/]{16,64}",
    "contentful": "[A-Za-z0-9=_-]{43}",
    "datadog": "[a-f0-9]{32,40}",
    "deepgram": "[a-f0-9]{40}",
    "discord": "[A-Za-z0-9=_-]{32,64}",
    "droneci": "[A-Za-z0-9]{32}",
    "dropbox": "[A-Za-z0-9]{15,64}",
    "elastic": "[A-Za-z0-9+/=_-]{40,80}",
    "elevenlabs": "(?:sk_)?[a-f0-9]{32,48}",
    "etsy": "[A-Za-z0-9]{24}",
    "facebook": "[a-f0-9]{32}",
    "fastly": "[A-Za-z0-9=_-]{32}",
    "finicity": "[a-f0-9]{32}",
    "finnhub": "[a-z0-9]{20,40}",
    "flickr": "[A-Za-z0-9]{32}",
    "freshbooks": "[a-z0-9]{64}",
    "gitter": "[A-Za-z0-9_-]{40}",
    "gocardless": "live_[A-Za-z0-9_=-]{40}",
    "heroku": UUID,
    "hubspot": UUID,
    "intercom": "[A-Za-z0-9=_-]{60}",
    "jfrog": "[A-Za-z0-9]{64,73}",
    "kraken": "[A-Za-z0-9/=_+-]{80,90}",
    "kucoin": f"(?:{UUID}|[a-f0-9]{{24}})",
    "launchdarkly": "[A-Za-z0-9=_-]{40}",
    "linear": "[a-f0-9]{32}",
    "linkedin": "[A-Za-z0-9]{14,16}",
    "looker": "[a-z0-9]{20,24}",
    "mailgun": "[a-f0-9]{32}-[a-f0-9]{8}-[a-f0-9]{8}",
    "mailchimp": "[a-f0-9]{32}",
    "mattermost": "[a-z0-9]{26}",
    "messagebird": "[A-Za-z0-9]{25}",
    "mistral": "[A-Za-z0-9]{32}",
    "netlify": "[A-Za-z0-9=_-]{40,46}",
    "new-relic": "[a-f0-9]{40}",
    "nytimes": "[A-Za-z0-9=_-]{32}",
    "okta": "00[A-Za-z0-9_-]{40}",
    "opsgenie": UUID,
    "pagerduty": "[A-Za-z0-9_+-]{20}",
    "pinecone": UUID,
    "plaid": "[a-f0-9]{30}",
    "privateai": "[a-f0-9]{32}",
    "rapidapi": "[A-Za-z0-9_-]{50}",
    "sendbird": "[a-f0-9]{40}",
    "sentry": "[a-f0-9]{64}",
    "shodan": "[A-Za-z0-9]{32}",
    "snyk": UUID,
    "sonar": "[A-Za-z0-9=_-]{40}",
    "squarespace": UUID,
    "sumologic": "[A-Za-z0-9]{64}",
    "together": "[a-f0-9]{64}",
    "travis": "[A-Za-z0-9_-]{22}",
    "trello": "[A-Za-z0-9]{32,64}",
    "twilio": "[a-f0-9]{32}",
    "twitch": "[a-z0-9]{30}",
    "twitter": "[A-Za-z0-9%-]{25,116}",
    "voyage": "[A-Za-z0-9_-]{43}",
    "wandb": "[a-f0-9]{40}",
    "weaviate": "[A-Za-z0-9]{36,52}",
    "yandex": "[A-Za-z0-9_-]{38,40}",
    "zendesk": "[A-Za-z0-9]{40}",
    "zoho": r"[a-f0-9]{32}|1000\.[a-f0-9]{32}\.[a-f0-9]{32}",
}

# What a password or a key is called, in a name of any spelling: DB_PASSWORD, clientSecret, "x-api-key".
NAMES = (
    r"(?:pass(?:word|wd|phrase|code)|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?key"
    r"|signing[_-]?key|encryption[_-]?key|master[_-]?key|account[_-]?key|credential|connection[_-]?string"
    r"|session[_-]?key|license[_-]?key|authorization)"
)


def _general() -> Iterator[Rule]:
    key = rf"(?P<key>[A-Za-z0-9_.-]{{0,40}}{NAMES}[A-Za-z0-9_-]{{0,20}})"
    named = r"(?:\\{0,7}[\"'])?[ \t]{0,4}(?:=>|:=|={1,3}|:)[ \t]{0,4}"
    # A short number, such as a count of tokens, is no secret: the fast pass must not stop at each.
    yield _rule(
        "assigned-secret",
        rf"(?i){NAMES}{_NAMED}{_SIGN}[^\s\"'\\<>(){{}}\[\],;`]{{6}}",
        rf"(?i){key}{named}(?:[a-z]{{0,2}}\\{{0,7}}[\"'`])?(?P<secret>[^\s\"'\\<>(){{}}\[\],;`]{{6,250}})",
        is_password,
        shows=False,
    )
    # A flag of a command line with its value behind a space; a pair of tags.
    yield _rule(
        "assigned-secret",
        rf"(?i)--[A-Za-z0-9-]{{0,30}}{NAMES}[A-Za-z0-9-]{{0,20}}[ ]\\{{0,7}}[\"']?[^\s\"'\\<>(){{}}\[\],;`-]",
        rf"(?i)--(?P<key>[A-Za-z0-9-]{{0,30}}{NAMES}[A-Za-z0-9-]{{0,20}})[ ]\\{{0,7}}[\"']?"
        r"(?P<secret>[^\s\"'\\<>(){}\[\],;`-][^\s\"'\\<>(){}\[\],;`]{5,250})",
        is_password,
        shows=False,
    )
    yield _rule(
        "assigned-secret",
        rf"(?i)<[A-Za-z0-9:_.-]{{0,40}}{NAMES}[A-Za-z0-9_-]{{0,20}}>[^\s<>]{{6}}",
        rf"(?i)<(?:[A-Za-z0-9_-]{{1,30}}:)?{key}>(?P<secret>[^\s<>]{{6,250}})</",
        is_password,
        shows=False,
    )
    # Between quotes a password may hold what ends it elsewhere.
    yield _rule(
        "assigned-secret",
        rf"(?i){NAMES}{_NAMED}[\\\"' \t]{{0,8}}(?:=|:)[=>]{{0,2}}[ \t]{{0,4}}\\{{0,7}}[\"'`][^\s\"'\\`]{{6}}",
        rf"(?i){key}{named}(?P<quote>\\{{0,7}}[\"'`])(?P<secret>[^\s\"'\\`]{{6,250}})(?P=quote)",
        is_password,
        shows=False,
    )


# Between a name and its value, as the fast pass sees it: the rest of the name, then quotes, a sign, quotes. The classes
# exclude each other, which keeps the automaton small.
_NAMED = "[A-Za-z0-9_.-]{0,30}"
_SIGN = r"""[\\"' \t]{0,8}(?:=|:)[=>]{0,2}[\\"' \t`rbuf]{0,10}"""
