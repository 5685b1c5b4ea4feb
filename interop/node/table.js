// The table of calls, for any client: what is asked in which order, and how it is told.
'use strict';

const CODES = [
  'OK', 'CANCELLED', 'UNKNOWN', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED', 'NOT_FOUND', 'ALREADY_EXISTS',
  'PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE', 'UNIMPLEMENTED',
  'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS', 'UNAUTHENTICATED',
];

/**
 * Makes the calls, by call(identity, method, request), and prints what came of each. What
 * that throws goes through described(error), which throws what is no refusal. Settings
 * are changed at the URL of the emulator.
 */
async function run(steps, emulator, call, described) {
  const saved = {};
  for (const step of steps) {
    if (step.set) {
      const answer = await fetch(`${emulator}/emulator/settings`, {
        method: 'PATCH',
        headers: {'content-type': 'application/json'},
        body: JSON.stringify(step.set),
      });
      if (!answer.ok) throw new Error(await answer.text());
      continue;
    }
    let text = JSON.stringify(step.request);
    for (const [name, value] of Object.entries(saved)) text = text.replaceAll(`{${name}}`, value);
    try {
      const answer = await call(step.as, step.method, JSON.parse(text));
      for (const [name, path] of Object.entries(step.save ?? {})) {
        saved[name] = path.split('/').reduce((value, part) => value[part], answer);
      }
      console.log(JSON.stringify({id: step.id, answer}));
    } catch (error) {
      console.log(JSON.stringify({id: step.id, error: described(error)}));
    }
  }
}

/** Ends the program as a failure where the main function fails. */
function start(main) {
  main().catch(error => {
    console.error(error);
    process.exit(1);
  });
}

module.exports = {CODES, run, start};
