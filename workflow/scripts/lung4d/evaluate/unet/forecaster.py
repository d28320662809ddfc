"""The U-Net's forecasts as the judge calls them."""

import numpy as np
import torch

from lung4d.evaluate.forecasting import Forecaster
from lung4d.evaluate.unet.network import UNet, forecast_scan
from lung4d.ode.observed import merge_ties
from lung4d.visits.patient import PatientVisits

NAME, WAY = "unet", "told the years"  # its row, and how its scan is made


def unet_forecaster(network: UNet) -> Forecaster:
    """A function from given visits and years (q,) to volumes (q, D, H, W); outside the lung the baseline stays."""
    device = next(network.parameters()).device

    @torch.no_grad()
    def forecast(given: PatientVisits, years: np.ndarray, mix: float | None) -> dict[str, np.ndarray]:
        known, scans = merge_ties(given.years, torch.from_numpy(given.unit).to(device))
        region = torch.from_numpy(given.region).to(device)
        made = [forecast_scan(network, known, scans, region, float(year)).cpu().numpy() for year in years]
        return {WAY: np.where(given.region, np.stack(made), given.unit[0])}

    return forecast
