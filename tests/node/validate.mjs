// Hold BOMs against the strict JSON validator of @cyclonedx/cyclonedx-library, another implementation than mbom's.
//
//     node validate.mjs FILE...
//
// Prints one JSON object: for each file null where it is valid, else what is wrong with it, or why it could not be told.

import { readFileSync } from 'node:fs'
import { Spec, Validation } from '@cyclonedx/cyclonedx-library'

const verdicts = {}
for (const path of process.argv.slice(2)) {
  try {
    const text = readFileSync(path, 'utf8')
    const version = JSON.parse(text).specVersion
    if (!Object.values(Spec.Version).includes(version)) throw new Error(`no validator for ${version}`)
    verdicts[path] = await new Validation.JsonStrictValidator(version).validate(text)
  } catch (error) {
    verdicts[path] = String(error)
  }
}
console.log(JSON.stringify(verdicts))
