/** What docs/config.md says of the settings for encrypted tokens. */
export const audiencesText = `
## Audiences

Tokens are signed, and can be read by whoever holds them. Those of an audience in
\`GATEPASS_AUDIENCES\` are encrypted for it too; see [encrypted tokens](verifier.md#encrypted-tokens).
Both settings are JSON, and \`gatepass keys encryption\` makes the keys:

\`\`\`json
[
  {
    "audience": "https://api.example.com",
    "encryption_key": {
      "kty": "EC",
      "crv": "P-256",
      "x": "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
      "y": "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck",
      "kid": "orders-1"
    }
  }
]
\`\`\`

\`GATEPASS_DECRYPTION_KEYS\` is a list of up to 16 private JWKs, each with its \`kid\`. Give it by
\`GATEPASS_DECRYPTION_KEYS_FILE\`.

- A key is on \`P-256\` (\`kty\` \`EC\`) or \`X25519\` (\`kty\` \`OKP\`). If it has \`use\` it is \`enc\`, if it
  has \`alg\` it is \`ECDH-ES\`.
- Each audience with a key is that of a client. A client that has several audiences may have none
  with a key, for an encrypted token has one reader.
- \`GATEPASS_ALGORITHM\` is not \`ML-DSA-44\` then: such a token is too long once it is encrypted.
- \`GATEPASS_ENCRYPTED_TOKENS\` needs \`GATEPASS_DECRYPTION_KEYS\`.
`
