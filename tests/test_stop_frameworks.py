"""Frameworks that are installed end cleanly when their run is stopped from elsewhere."""

from __future__ import annotations

import importlib.util
import signal

import pytest
from cloister.observer.stop_requests import request_stop
from recorded_script import RecordedScript, wait_for

# Each says "begun" once it trains.
SCRIPTS = {
    "lightning": """
        import cloister, lightning, time, torch

        run = cloister.start_run(hardware=False, capture="none")

        class Model(lightning.LightningModule):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(4, 1)

            def training_step(self, batch, place):
                if place == 3:
                    print("begun", flush=True)
                time.sleep(0.02)
                return self.layer(batch[0]).mean()

            def configure_optimizers(self):
                return torch.optim.SGD(self.parameters(), 0.1)

        class Noted(lightning.Callback):
            def on_exception(self, trainer, module, exception):
                print("on_exception", type(exception).__name__, flush=True)

        data = torch.utils.data.TensorDataset(torch.randn(100_000, 4))
        quiet = dict(enable_progress_bar=False, enable_model_summary=False, logger=False, enable_checkpointing=False)
        trainer = lightning.Trainer(max_epochs=100, accelerator="cpu", callbacks=[Noted()], **quiet)
        trainer.fit(Model(), torch.utils.data.DataLoader(data, batch_size=4))
    """,
    "keras": """
        import os
        os.environ["KERAS_BACKEND"] = "torch"
        import cloister, numpy

        run = cloister.start_run(hardware=False, capture="none")
        import keras

        class Noted(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                if batch == 3:
                    print("begun", flush=True)

        model = keras.Sequential([keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        inputs, targets = numpy.random.rand(400_000, 4), numpy.random.rand(400_000, 1)
        model.fit(inputs, targets, batch_size=4, epochs=100, verbose=0, callbacks=[Noted()])
    """,
    "transformers": """
        import os
        os.environ["HF_HUB_OFFLINE"] = "1"
        import cloister, torch

        run = cloister.start_run(hardware=False, capture="none")
        from transformers import Trainer, TrainerCallback, TrainingArguments

        class Data(torch.utils.data.Dataset):
            def __len__(self):
                return 100_000

            def __getitem__(self, place):
                return {"x": torch.randn(4), "labels": torch.randn(1)}

        class Model(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(4, 1)

            def forward(self, x=None, labels=None):
                return {"loss": ((self.layer(x) - labels) ** 2).mean()}

        class Noted(TrainerCallback):
            def on_step_end(self, args, state, control, **rest):
                if state.global_step == 3:
                    print("begun", flush=True)

        quiet = dict(report_to=[], disable_tqdm=True, save_strategy="no", logging_strategy="no", use_cpu=True)
        Trainer(
            Model(), TrainingArguments("out", max_steps=100_000, **quiet), train_dataset=Data(), callbacks=[Noted()]
        ).train()
    """,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("framework", "code", "said"),
    [
        ("lightning", 1, "on_exception KeyboardInterrupt\n"),
        ("keras", -signal.SIGINT, ""),
        ("transformers", -signal.SIGINT, ""),
    ],
)
def test_a_framework_ends_as_by_ctrl_c(script: RecordedScript, framework: str, code: int, said: str) -> None:
    for needed in (framework, "torch"):
        if importlib.util.find_spec(needed) is None:  # not imported here: Keras wants its backend named
            pytest.skip(f"needs {needed}")
    process = script.start(SCRIPTS[framework], env={"CLOISTER_COURIER": "thread"})
    assert process.stdout is not None
    assert any("begun" in line for line in process.stdout), process.communicate()
    wait_for(script.runs, "the run is in the database")
    request_stop(script.store, script.only_run().id, by="ana")
    out, err = process.communicate(timeout=120)

    assert (process.returncode, out) == (code, said), err
    run = script.only_run()
    assert (run.status, run.exit["stopped"]["by"]) == ("interrupted", "ana")
