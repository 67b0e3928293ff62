// Makes vectors.json with AWS's own signer, from the throwaway keys in ../keys. How to run it: README.rst.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

// Looked for where the script is run, so that no node_modules need to lie here.
const require = createRequire(`${process.cwd()}/`);
const { getSignedCookies, getSignedUrl } = require("@aws-sdk/cloudfront-signer");
const { version } = require("@aws-sdk/cloudfront-signer/package.json");

const here = (name) => new URL(name, import.meta.url);
const keyPairId = "K2JCJMDEHXQW5F";
const end = 1800000060;
const start = 1799999000;
const base = "https://d111111abcdef8.cloudfront.net";
const film = `${base}/films/42/hd/1.ts`;

const signers = [
  { signer: "RSA-SHA1", file: "rsa-2048-pkcs8.pem", algorithm: undefined },
  { signer: "RSA-SHA256", file: "rsa-2048-pkcs8.pem", algorithm: "SHA256" },
  { signer: "ECDSA", file: "p256-pkcs8.pem", algorithm: "SHA256" },
  { signer: "ECDSA-SHA1", file: "p256-pkcs8.pem", algorithm: undefined },
];
// What is asked for; a null is not. A resource makes a policy of its own, because only that has wildcards here.
const cases = [
  { name: "canned", url: film },
  { name: "canned with a query", url: `${base}/a%20b/%C3%A9%25%2B.pdf?v=1%20%2A&w=` },
  { name: "canned with marks in the path", url: `${base}/it%27s%20%28a%29%21.pdf` },
  { name: "start", url: film, start },
  { name: "address", url: film, ip: "203.0.113.7" },
  { name: "network", url: film, ip: "203.0.113.0/24" },
  { name: "start and network", url: film, start, ip: "203.0.113.0/24" },
  { name: "wildcard", url: film, resource: `${base}/films/42/hd/*` },
].map((one) => ({ start: null, ip: null, resource: null, ...one }));

const when = (seconds) => (seconds === null ? undefined : new Date(seconds * 1000).toISOString());

function request({ url, start, ip, resource }) {
  if (resource === null) {
    return { url, dateLessThan: when(end), dateGreaterThan: when(start), ipAddress: ip ?? undefined };
  }
  const condition = { DateLessThan: { "AWS:EpochTime": end } };
  return { url, policy: JSON.stringify({ Statement: [{ Resource: resource, Condition: condition }] }) };
}

const vectors = signers.flatMap(({ signer, file, algorithm }) => {
  const privateKey = readFileSync(here(`../keys/${file}`), "utf8");
  return cases.map((one) => {
    const asked = { ...request(one), keyPairId, privateKey, algorithm };
    return { signer, ...one, end, signed_url: getSignedUrl(asked), cookies: getSignedCookies(asked) };
  });
});
const madeWith = `@aws-sdk/cloudfront-signer ${version} on Node.js ${process.version}`;
writeFileSync(here("vectors.json"), `${JSON.stringify({ made_with: madeWith, vectors }, null, 1)}\n`);
