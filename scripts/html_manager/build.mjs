// npm ci && node build.mjs            writes workbench/widgets/static/_vendor/html-manager.*
// npm ci && node build.mjs --check    builds in memory and fails when the committed files differ
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import esbuild from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const VENDOR = join(HERE, "../../workbench/widgets/static/_vendor");
const SOURCES = ["entry.js", "build.mjs", "package.json", "package-lock.json", "BSD-3-Clause.txt"];
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

const trim = {
  name: "trim",
  setup(build) {
    // html-manager carries ipywidgets 7 beside 8, and a second set of light-only colours; the page has its own.
    build.onResolve({ filter: /^@jupyter-widgets\/(base7|controls7)|\/labvariables\.css$/ }, (args) => ({
      path: args.path,
      namespace: "empty",
    }));
    // Of each icon font only the woff2 is kept, as a data URL.
    build.onResolve({ filter: /\.(eot|ttf|svg|woff)([?#].*)?$/ }, (args) =>
      args.kind === "url-token" ? { path: args.path, namespace: "drop" } : undefined,
    );
    build.onLoad({ filter: /\.css$/, namespace: "empty" }, () => ({ contents: "", loader: "css" }));
    build.onLoad({ filter: /.*/, namespace: "empty" }, () => ({ contents: "module.exports = {}" }));
    build.onLoad({ filter: /.*/, namespace: "drop" }, () => ({ contents: "", loader: "dataurl" }));
  },
};

const result = await esbuild.build({
  entryPoints: [join(HERE, "entry.js")],
  absWorkingDir: HERE,
  outdir: VENDOR,
  entryNames: "html-manager.min",
  bundle: true,
  minify: true,
  write: false,
  metafile: true,
  format: "iife",
  globalName: "WorkbenchPage",
  target: "es2022",
  legalComments: "none", // every licence text is in html-manager.LICENSES.txt
  plugins: [trim],
  loader: { ".woff2": "dataurl", ".svg": "dataurl" },
  define: { "process.env.NODE_ENV": '"production"', "process.env": "{}", global: "globalThis" },
});

// The packages whose files are really in the bundle, with the licence each brings.
const homes = new Set();
for (const output of Object.values(result.metafile.outputs)) {
  for (const [path, { bytesInOutput }] of Object.entries(output.inputs)) {
    const match = bytesInOutput > 0 && !path.startsWith("(disabled):") && /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path);
    if (match) homes.add(join(HERE, match[1]));
  }
}
const packages = [...homes]
  .map((home) => {
    const { name, version, license, author } = JSON.parse(readFileSync(join(home, "package.json"), "utf8"));
    const texts = readdirSync(home).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file)).sort();
    return { name, version, license, owner: author?.name ?? author ?? name, home, texts };
  })
  .sort((a, b) => a.name.localeCompare(b.name) || a.version.localeCompare(b.version));

const licences = packages.map(({ name, version, license, owner, home, texts }) => {
  const body = texts.map((file) => readFileSync(join(home, file), "utf8").replace(/\r\n/g, "\n").trim()).join("\n\n");
  // Project Jupyter's packages name their licence without bringing its text.
  if (!body && license !== "BSD-3-Clause") throw new Error(`${name} ${version} (${license}) brings no licence text`);
  const text = body || `Copyright (c) ${owner}\n\n${readFileSync(join(HERE, "BSD-3-Clause.txt"), "utf8")}`;
  return `${"=".repeat(100)}\n${name} ${version} (${license})\n${"=".repeat(100)}\n\n${text.trim()}\n`;
});

const files = Object.fromEntries(
  result.outputFiles.map((file) => [relative(VENDOR, file.path), Buffer.from(file.contents)]),
);
files["html-manager.LICENSES.txt"] = Buffer.from(
  "Third-party software in html-manager.min.js and html-manager.min.css.\n\n" + licences.join("\n"),
);
const record = {
  about: "Built by scripts/html_manager/build.mjs; never edited by hand.",
  packages: Object.fromEntries(packages.map(({ name, version, license }) => [`${name}@${version}`, license])),
  files: Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, sha256(bytes)])),
  sources: Object.fromEntries(SOURCES.map((name) => [name, sha256(readFileSync(join(HERE, name)))])),
};
files["html-manager.json"] = Buffer.from(JSON.stringify(record, null, 2) + "\n");

if (process.argv.includes("--check")) {
  const stale = Object.entries(files).filter(
    ([name, bytes]) => !existsSync(join(VENDOR, name)) || !readFileSync(join(VENDOR, name)).equals(bytes),
  );
  for (const [name] of stale) console.error(`stale: ${name}`);
  process.exit(stale.length ? 1 : 0);
}
for (const [name, bytes] of Object.entries(files)) {
  writeFileSync(join(VENDOR, name), bytes);
  console.log(`${name}  ${bytes.length} bytes`);
}
