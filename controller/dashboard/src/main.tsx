import { render } from "preact";
import "./styles.css";
import { start } from "./model/store";
import { App } from "./ui/App";

const root = document.getElementById("app");
if (root) {
  start();
  render(<App />, root);
}
