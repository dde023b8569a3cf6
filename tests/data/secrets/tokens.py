"""Secrets drawn by chance in the forms that their issuers document, and the texts in which people leave them.

Written from the documentation of the issuers, apart from the rules that have to find them.
"""

from __future__ import annotations

import base64
import json
import random
import string
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass

ALNUM = string.ascii_letters + string.digits
LOWER = string.ascii_lowercase + string.digits
UPPER = string.ascii_uppercase + string.digits
HEX = "0123456789abcdef"
WORD = ALNUM + "-_"
B64 = ALNUM + "+/"


@dataclass(frozen=True)
class Planted:
    """A secret, and the text that gives it away."""

    kind: str
    secret: str
    text: str


def github(prefix: str) -> Callable[[random.Random], str]:
    """As GitHub describes it: 30 characters, then their CRC32 in base 62."""

    def made(r: random.Random) -> str:
        body = "".join(r.choices(ALNUM, k=30))
        digits = string.digits + string.ascii_uppercase + string.ascii_lowercase
        crc, out = zlib.crc32(body.encode()), ""
        while crc:
            crc, rest = divmod(crc, 62)
            out = digits[rest] + out
        return prefix + body + out.rjust(6, "0")

    return made


def some(*parts: str | tuple[str, int]) -> Callable[[random.Random], str]:
    """Literal parts and (alphabet, count) parts one after the other."""

    def made(r: random.Random) -> str:
        return "".join(p if isinstance(p, str) else "".join(r.choices(p[0], k=p[1])) for p in parts)

    return made


def guid(r: random.Random) -> str:
    return str(uuid.UUID(int=r.getrandbits(128), version=4))


def jwt(r: random.Random) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {"sub": str(r.randrange(10**9)), "name": "Ada", "iat": 1_700_000_000 + r.randrange(10**6)}
    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}.{''.join(r.choices(WORD, k=43))}"


def pem(kind: str, lines: int = 12) -> Callable[[random.Random], str]:
    def made(r: random.Random) -> str:
        body = "\n".join("".join(r.choices(B64, k=64)) for _ in range(lines))
        return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"

    return made


def password(r: random.Random) -> str:
    """As a password manager makes them: three kinds of characters at least."""
    chars = [r.choice(string.ascii_lowercase), r.choice(string.ascii_uppercase), r.choice(string.digits)]
    chars += r.choices(ALNUM + "!#%+^=_-", k=11)
    r.shuffle(chars)
    return "x" + "".join(chars)


def basic(r: random.Random) -> str:
    return base64.b64encode(f"deploy:{password(r)}".encode()).decode()


# Kind → the secret. Told by themselves.
BARE: dict[str, Callable[[random.Random], str]] = {
    "aws access key": some("AKIA", ("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
    "aws temporary key": some("ASIA", ("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
    "aws session token": some("IQoJb3JpZ2luX2Vj", (B64, 300)),
    "aws bedrock key": some("ABSK", (B64, 128)),
    "github classic": github("ghp_"),
    "github oauth": github("gho_"),
    "github user": github("ghu_"),
    "github server": github("ghs_"),
    "github refresh": github("ghr_"),
    "github fine-grained": some("github_pat_", (ALNUM, 22), "_", (ALNUM, 59)),
    "gitlab personal": some("glpat-", (WORD, 20)),
    "gitlab deploy": some("gldt-", (WORD, 20)),
    "gitlab runner": some("glrt-", (WORD, 20)),
    "gitlab trigger": some("glptt-", (HEX, 40)),
    "slack bot": some("xoxb-", (string.digits, 12), "-", (string.digits, 12), "-", (ALNUM, 24)),
    "slack user": some(
        "xoxp-", (string.digits, 12), "-", (string.digits, 12), "-", (string.digits, 12), "-", (HEX, 32)
    ),
    "slack app": some("xapp-1-A", (UPPER, 10), "-", (string.digits, 13), "-", (HEX, 64)),
    "slack webhook": some("https://hooks.slack.com/services/T", (UPPER, 8), "/B", (UPPER, 8), "/", (ALNUM, 24)),
    "stripe live": some("sk_live_", (ALNUM, 24)),
    "stripe long": some("sk_live_51", (ALNUM, 97)),
    "stripe test": some("sk_test_", (ALNUM, 24)),
    "stripe restricted": some("rk_live_", (ALNUM, 24)),
    "stripe webhook": some("whsec_", (ALNUM, 32)),
    "openai first": some("sk-", (ALNUM, 20), "T3BlbkFJ", (ALNUM, 20)),
    "openai project": some("sk-proj-", (WORD, 74), "T3BlbkFJ", (WORD, 74)),
    "openai service": some("sk-svcacct-", (WORD, 74), "T3BlbkFJ", (WORD, 74)),
    "openai admin": some("sk-admin-", (WORD, 58), "T3BlbkFJ", (WORD, 58)),
    "anthropic": some("sk-ant-api03-", (WORD, 93), "AA"),
    "anthropic admin": some("sk-ant-admin01-", (WORD, 93), "AA"),
    "anthropic oauth": some("sk-ant-oat01-", (WORD, 93), "AA"),
    "openrouter": some("sk-or-v1-", (HEX, 64)),
    "deepseek": some("sk-", (HEX, 32)),
    "langfuse": lambda r: f"sk-lf-{guid(r)}",
    "langsmith personal": some("lsv2_pt_", (HEX, 32), "_", (HEX, 10)),
    "langsmith service": some("lsv2_sk_", (HEX, 32), "_", (HEX, 10)),
    "google api": some("AIzaSy", (WORD, 33)),
    "google oauth secret": some("GOCSPX-", (WORD, 28)),
    "google oauth token": some("ya29.a0", (WORD, 120)),
    "azure client secret": some((ALNUM, 3), "8Q~", (ALNUM, 34)),
    "azure devops": some((ALNUM, 76), "AZDO", (ALNUM, 4)),
    "npm": github("npm_"),
    "pypi": some("pypi-AgEIcHlwaS5vcmc", (WORD, 150)),
    "rubygems": some("rubygems_", (HEX, 48)),
    "crates.io": some("cio", (ALNUM, 32)),
    "clojars": some("CLOJARS_", (LOWER, 60)),
    "docker": some("dckr_pat_", (WORD, 27)),
    "hugging face": some("hf_", (string.ascii_letters, 34)),
    "replicate": some("r8_", (ALNUM, 37)),
    "groq": some("gsk_", (ALNUM, 52)),
    "xai": some("xai-", (ALNUM, 80)),
    "perplexity": some("pplx-", (ALNUM, 48)),
    "tavily": some("tvly-dev-", (ALNUM, 32)),
    "pinecone": some("pcsk_", (ALNUM, 6), "_", (ALNUM, 63)),
    "e2b": some("e2b_", (HEX, 40)),
    "nvidia": some("nvapi-", (WORD, 64)),
    "twilio key": some("SK", (HEX, 32)),
    "sendgrid": some("SG.", (WORD, 22), ".", (WORD, 43)),
    "mailgun": some("key-", (HEX, 32)),
    "mailchimp": some((HEX, 32), "-us", ("123456789", 1)),
    "brevo": some("xkeysib-", (HEX, 64), "-", (ALNUM, 16)),
    "resend": some("re_", (ALNUM, 8), "_", (ALNUM, 24)),
    "telegram": some(("123456789", 1), (string.digits, 9), ":AA", (WORD, 33)),
    "discord bot": some("M", (ALNUM, 25), ".", (WORD, 6), ".", (WORD, 38)),
    "discord webhook": some("https://discord.com/api/webhooks/", (string.digits, 18), "/", (WORD, 68)),
    "databricks": some("dapi", (HEX, 32)),
    "digitalocean": some("dop_v1_", (HEX, 64)),
    "digitalocean oauth": some("doo_v1_", (HEX, 64)),
    "heroku": some("HRKU-AA", (WORD, 58)),
    "fly.io": some("fo1_", (WORD, 43)),
    "netlify": some("nfp_", (ALNUM, 36)),
    "render": some("rnd_", (ALNUM, 32)),
    "supabase": some("sbp_", (HEX, 40)),
    "planetscale": some("pscale_tkn_", (WORD, 43)),
    "neon": some("napi_", (LOWER, 64)),
    "vault": some("hvs.", (WORD, 90)),
    "terraform": some((ALNUM, 14), ".atlasv1.", (WORD, 67)),
    "pulumi": some("pul-", (HEX, 40)),
    "doppler": some("dp.pt.", (ALNUM, 43)),
    "1password": some("ops_eyJ", (ALNUM, 300)),
    "new relic": some("NRAK-", (UPPER, 27)),
    "grafana service": some("glsa_", (ALNUM, 32), "_", (HEX, 8)),
    "grafana cloud": some("glc_", (B64, 60)),
    "sentry": some("sntrys_eyJ", (B64, 120)),
    "sentry user": some("sntryu_", (HEX, 64)),
    "dynatrace": some("dt0c01.", (UPPER, 24), ".", (UPPER, 64)),
    "posthog": some("phx_", (ALNUM, 43)),
    "shopify": some("shpat_", (HEX, 32)),
    "shopify secret": some("shpss_", (HEX, 32)),
    "square": some("sq0atp-", (WORD, 22)),
    "square secret": some("sq0csp-", (WORD, 43)),
    "facebook": some("EAAM", (ALNUM, 120)),
    "plaid": lambda r: f"access-production-{guid(r)}",
    "flutterwave": some("FLWSECK_TEST-", (HEX, 32), "-X"),
    "razorpay": some("rzp_live_", (ALNUM, 14)),
    "easypost": some("EZAK", (ALNUM, 54)),
    "shippo": some("shippo_live_", (HEX, 40)),
    "duffel": some("duffel_live_", (WORD, 43)),
    "airtable": some("pat", (ALNUM, 14), ".", (HEX, 64)),
    "notion": some("ntn_", (ALNUM, 46)),
    "linear": some("lin_api_", (ALNUM, 40)),
    "figma": some("figd_", (WORD, 43)),
    "asana": some("1/", (string.digits, 16), ":", (HEX, 32)),
    "atlassian": some("ATATT3xFfGF0", (WORD, 170), "=", (UPPER, 8)),
    "bitbucket": some("ATBB", (ALNUM, 32)),
    "postman": some("PMAK-", (HEX, 24), "-", (HEX, 34)),
    "readme": some("rdme_", (LOWER, 70)),
    "prefect": some("pnu_", (ALNUM, 36)),
    "typeform": some("tfp_", (ALNUM, 59)),
    "contentful": some("CFPAT-", (WORD, 43)),
    "hubspot": lambda r: f"pat-na1-{guid(r)}",
    "alibaba": some("LTAI", (ALNUM, 20)),
    "adobe": some("p8e-", (ALNUM, 32)),
    "artifactory": some("AKCp", (ALNUM, 69)),
    "sourcegraph": some("sgp_", (HEX, 16), "_", (HEX, 40)),
    "sonar": some("squ_", (HEX, 40)),
    "circleci": some("CCIPAT_", (ALNUM, 22), "_", (HEX, 40)),
    "mapbox": some("sk.eyJ", (ALNUM, 60), ".", (WORD, 22)),
    "tailscale": some("tskey-auth-", (ALNUM, 12), "-", (ALNUM, 32)),
    "openshift": some("sha256~", (WORD, 43)),
    "octopus": some("API-", (UPPER, 26)),
    "age": some("AGE-SECRET-KEY-1", ("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58)),
    "json web token": jwt,
    "rsa key": pem("RSA "),
    "ec key": pem("EC ", 3),
    "openssh key": pem("OPENSSH "),
    "pkcs8 key": pem(""),
    "maxmind": some((ALNUM, 6), "_", (ALNUM, 29), "_mmk"),
}

# Kind → (the secret, the text around it). Told by what stands before them.
TOLD: dict[str, tuple[Callable[[random.Random], str], str]] = {
    "aws secret": (some((B64, 40)), "aws_secret_access_key = {}"),
    "aws secret in JSON": (some((ALNUM, 40)), '{{"SecretAccessKey": "{}"}}'),
    "datadog": (some((HEX, 32)), "DATADOG_API_KEY={}"),
    "algolia": (some((HEX, 32)), 'algolia_admin = "{}"'),
    "cloudflare": (some((WORD, 40)), "CLOUDFLARE_API_TOKEN={}"),
    "fastly": (some((WORD, 32)), "fastly: {}"),
    "heroku uuid": (guid, "HEROKU_API_KEY={}"),
    "okta": (some("00", (WORD, 40)), "okta.token: {}"),
    "deepgram": (some((HEX, 40)), "DEEPGRAM_API_KEY={}"),
    "mistral": (some((ALNUM, 32)), "MISTRAL_API_KEY={}"),
    "cohere": (some((ALNUM, 40)), "COHERE_API_KEY={}"),
    "wandb": (some((HEX, 40)), "WANDB_API_KEY={}"),
    "elevenlabs": (some((HEX, 32)), "ELEVENLABS_API_KEY={}"),
    "assemblyai": (some((HEX, 32)), 'assemblyai.settings.api_key = "{}"'),
    "travis": (some((ALNUM, 22)), "TRAVIS_TOKEN={}"),
    "twitch": (some((LOWER, 30)), "twitch_client_secret={}"),
    "zendesk": (some((ALNUM, 40)), "ZENDESK_TOKEN: {}"),
    "snyk": (guid, "SNYK_TOKEN={}"),
    "opsgenie": (guid, "opsgenie_api_key: {}"),
    "twilio token": (some((HEX, 32)), "TWILIO_AUTH_TOKEN={}"),
    "azure storage": (some((B64, 86), "=="), "DefaultEndpointsProtocol=https;AccountName=x;AccountKey={};Endpoint=y"),
    "azure sas": (some((ALNUM, 43), "%3D"), "https://x.blob.core.windows.net/c?sv=2022-11-02&se=2030&sr=b&sig={}"),
    "postgres": (some((ALNUM, 14)), "postgresql://app:{}@db.internal:5432/app"),
    "postgres with a sign": (some((ALNUM, 6), "%21", (ALNUM, 6)), "postgres://app:{}@10.0.0.3/app"),
    "mongodb": (some((ALNUM, 16)), "mongodb+srv://root:{}@cluster0.abcde.mongodb.net/x"),
    "redis": (some((ALNUM, 20)), "redis://:{}@cache:6379/0"),
    "amqp": (some((ALNUM, 14)), "amqps://user:{}@mq.internal/v"),
    "git over https": (some((ALNUM, 20)), "git clone https://bot:{}@git.internal/x.git"),
    "cookie": (some((ALNUM, 32)), "Cookie: theme=dark; session={}"),
    "cookie in curl": (some((HEX, 32)), "curl -b '' -H 'Cookie: sid={}; lang=en' https://x"),
    "set-cookie": (some((WORD, 40)), "Set-Cookie: connect.sid={}; Path=/; HttpOnly"),
    "cookie in JSON": (some((HEX, 40)), '{{"headers": {{"cookie": "a=1; token={}"}}}}'),
    "authorization bearer": (some((WORD, 40)), "Authorization: Bearer {}"),
    "authorization in curl": (some((ALNUM, 32)), 'curl -H "Authorization: Bearer {}" https://x'),
    "authorization basic": (basic, "Authorization: Basic {}"),
    "curl user": (password, "curl -u admin:{} https://internal/api"),
    "environment": (password, "export DB_PASSWORD={}"),
    "docker environment": (password, "docker run -e POSTGRES_PASSWORD={} postgres"),
    "pgpassword": (password, "PGPASSWORD={} psql -h db"),
    "yaml": (password, "db:\n  password: {}\n  user: app"),
    "quoted yaml": (password, "  password: '{}'"),
    "python": (password, 'client.login(user="ada", password="{}")'),
    "javascript": (password, "const dbPassword = '{}';"),
    "json": (password, '{{"user": "ada", "password": "{}"}}'),
    "json in json": (password, '{{"body": "{{\\"password\\": \\"{}\\"}}"}}'),
    "ini": (some((ALNUM, 30)), "[auth]\nclient_secret = {}"),
    "api key header": (some((ALNUM, 32)), "x-api-key: {}"),
    "api key in python": (some((ALNUM, 32)), 'api_key="{}"'),
    "api key in a url": (some((ALNUM, 32)), "https://api.internal/v1?api_key={}&q=1"),
    "access token in a url": (some((ALNUM, 40)), "https://api.internal/v1?access_token={}"),
    "django": (some((LOWER + "!@#%^*", 50)), "SECRET_KEY = '{}'"),
    "private key name": (some((HEX, 64)), "PRIVATE_KEY=0x{}"),
    "encryption key": (some((B64, 43), "="), 'ENCRYPTION_KEY="{}"'),
    "rails master key": (some((HEX, 32)), "RAILS_MASTER_KEY={}"),
    "session token": (some((ALNUM, 48)), 'session_token: "{}"'),
    "refresh token": (some((ALNUM, 48)), '"refresh_token":"{}"'),
}

WRAPPINGS = ("{}", "token: {}", "use {} for this", '"{}"', "KEY={}", "(see {})", "export X={}\n", "> {}")


def planted(r: random.Random, rounds: int = 1) -> list[Planted]:
    """Every kind, so many times."""
    found = []
    for n in range(rounds):
        for number, (kind, make) in enumerate(BARE.items()):
            secret = make(r)
            found.append(Planted(kind, secret, WRAPPINGS[(number + n) % len(WRAPPINGS)].format(secret)))
        for kind, (make, text) in TOLD.items():
            secret = make(r)
            found.append(Planted(kind, secret, text.format(secret)))
    return found
