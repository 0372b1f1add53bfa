// What every page has to hold, whatever it is about.

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** No finding of axe-core, nothing to scroll sideways. */
export async function checkPage(page, picture) {
  // By the debugger and not as an element: the page's Content-Security-Policy stays as it is.
  await page.evaluate(axe);
  const result = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  if (result.passes.length === 0) throw new Error(`axe-core has looked at nothing on ${page.url()}`);
  const findings = result.violations.map(
    (violation) => `${violation.id}: ${violation.help}\n${violation.nodes.map((node) => `    ${node.html}\n    ${node.failureSummary}`).join('\n')}`,
  );
  if (findings.length > 0) throw new Error(`${page.url()} is not accessible:\n${findings.join('\n')}`);
  const sizes = await page.evaluate(() => ({
    page: document.documentElement.scrollWidth,
    window: document.documentElement.clientWidth,
  }));
  if (sizes.page > sizes.window) {
    throw new Error(`${page.url()} is ${sizes.page} pixels wide in a window of ${sizes.window}`);
  }
  if (picture && process.env.KEROS_PICTURES) {
    await page.screenshot({ path: `${process.env.KEROS_PICTURES}/${picture}.png` });
  }
}

/** Goes on with the Tab key, as one does who has no mouse, until this element has the focus. */
export async function tabTo(page, locator, most = 100) {
  for (let steps = 0; steps < most; steps += 1) {
    await page.keyboard.press('Tab');
    if (await locator.evaluate((element) => element === document.activeElement)) {
      const visible = await locator.evaluate((element) => {
        const style = getComputedStyle(element);
        return style.outlineStyle !== 'none' || style.boxShadow !== 'none';
      });
      if (!visible) throw new Error(`nothing shows that ${locator} has the focus`);
      return;
    }
  }
  throw new Error(`${locator} is not reached within ${most} steps of the Tab key`);
}
