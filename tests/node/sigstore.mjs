// Verify Sigstore bundles with sigstore-js, another implementation than the one that mbom uses.
//
//     node sigstore.mjs < {trustedRoot, issuer, cases: [{bundle, artifact, identity}]}
//
// Prints one JSON array: for each case "verified", or why not. A case without an artifact is a statement.

import { readFileSync } from 'node:fs'
import { bundleFromJSON } from '@sigstore/bundle'
import { TrustedRoot } from '@sigstore/protobuf-specs'
import { Verifier, toSignedEntity, toTrustMaterial } from '@sigstore/verify'

const asked = JSON.parse(readFileSync(0, 'utf8'))
const verifier = new Verifier(toTrustMaterial(TrustedRoot.fromJSON(asked.trustedRoot)))

function verify ({ bundle, artifact, identity }) {
  try {
    const entity = toSignedEntity(bundleFromJSON(bundle), artifact === null ? undefined : Buffer.from(artifact))
    verifier.verify(entity, { subjectAlternativeName: identity, extensions: { issuer: asked.issuer } })
    return 'verified'
  } catch (error) {
    return String(error)
  }
}

console.log(JSON.stringify(asked.cases.map(verify)))
