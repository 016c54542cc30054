/**
 * Lets a button ask before it does what cannot be undone: the question appears beside it, with the harmless answer in
 * focus. Escape and leaving the question are that answer, too.
 */
export class Confirm {
  #button;
  #question;

  /**
   * @param {HTMLButtonElement} button
   * @param {HTMLElement} question which is hidden until the button is pressed
   * @param {{yes: HTMLButtonElement, no: HTMLButtonElement}} answers
   * @param {() => void} deed
   */
  constructor(button, question, { yes, no }, deed) {
    this.#button = button;
    this.#question = question;
    button.setAttribute('aria-expanded', 'false');
    button.addEventListener('click', () => {
      this.#show(question.hidden);
      if (!question.hidden) no.focus();
    });
    yes.addEventListener('click', () => {
      this.#answered();
      deed();
    });
    no.addEventListener('click', () => this.#answered());
    question.addEventListener('keydown', ({ key }) => {
      if (key === 'Escape') this.#answered();
    });
    question.addEventListener('focusout', ({ relatedTarget: next }) => {
      // Without a next one the window lost the focus, or a click went nowhere: nothing was answered.
      if (next !== null && next !== button && !question.contains(next)) this.close();
    });
  }

  /** Takes the question back. */
  close() {
    this.#show(false);
  }

  #answered() {
    this.close();
    this.#button.focus();
  }

  #show(shown) {
    this.#question.hidden = !shown;
    this.#button.setAttribute('aria-expanded', String(shown));
  }
}
