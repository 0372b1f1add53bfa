// Plays one story, named by the sentence that it shows, against the center that tests/e2e/browser has started:
// `node story.mjs SENTENCE`, with the stage in KEROS_STAGE; `node story.mjs --list` names all.

import { readdir } from 'node:fs/promises';

import { World } from './lib/world.mjs';

const stories = new Map();
for (const file of (await readdir(new URL('stories/', import.meta.url))).sort()) {
  if (!file.endsWith('.mjs')) continue;
  for (const [sentence, story] of Object.entries(await import(`./stories/${file}`))) {
    if (stories.has(sentence)) throw new Error(`two stories have the name ${sentence}`);
    stories.set(sentence, story);
  }
}

if (process.argv[2] === '--list') {
  console.log([...stories.keys()].join('\n'));
} else {
  const story = stories.get(process.argv[2]);
  if (!story) throw new Error(`there is no story ${process.argv[2]}`);
  const world = await World.open(JSON.parse(process.env.KEROS_STAGE));
  try {
    await story(world);
    await world.close();
  } catch (error) {
    await world.tellOfFailure(error);
    process.exitCode = 1;
  }
  // Whoever answers wishes is still there.
  process.stdin.destroy();
}
