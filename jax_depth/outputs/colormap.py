"""Colour maps: 256 colours each, from far to near.

The tables hold matplotlib's colours times 255, truncated, as `run.py` of Depth
Anything V2 computes them; the tests compare them with matplotlib where it is
installed. Sources: Spectral, ColorBrewer 2.0 (Cynthia Brewer, Apache-2.0); inferno,
Nathaniel Smith and Stefan van der Walt (CC0); turbo, Anton Mikhailov, Google
(Apache-2.0).
"""

import base64
import functools

import numpy as np
from jaxtyping import UInt8

# 768 bytes each, red, green, blue of index 0 first.
_TABLES = {
    "Spectral_r": (
        "Xk+iXFGjWlOkWFWlV1emVVqnU1yoUV6pUGCqTmOrTGWsS2etSWmuR2yvRW6wRHCxQnKyQHW0Pne1"
        "PXm2O3u3OX24OIC5NoK6NIS7Moa8M4m8NYu7N426OY+5O5K4PZS3P5a2QZm1Q5u1RZ20R5+zSaKy"
        "S6SxTaawT6ivUauuU62tVa+sV7KrWbSqW7apXbioX7unYb2mY7+lZsKlaMOka8SkbsWkcMakc8ek"
        "dsikeMmke8qkfsukgcykg82khs6kic+ki9CkjtGkkdKklNSkltWkmdaknNekntikodmkpNqkptuk"
        "qdykrN2jrt6jsN+is+CiteGht+KhuuOgvOSgvuWgwOWfw+afxeeex+ieyumdzOqdzuuc0eyc0+2b"
        "1e6b2O+a2vCa3PGZ3/KZ4fOY4/SY5vWY5vWZ5/Wb6Pac6fae6vaf6/eh7Pei7fik7vil7/in8Pmo"
        "8fmq8vqr8/qt9Pqu9fuw9vuy9/yz+Py1+fy2+v24+/25/P67/f68/v6+/v69/v27/vu5/vq3/vm1"
        "/viz/vex/vWv/vSt/vOr/vKp/vGn/u+l/u6j/u2h/uyf/uqd/umb/uiZ/ueX/uaV/uST/uOR/uKP"
        "/uGN/uCL/d6J/dyH/dqG/diE/daC/dSB/dJ//dB9/c58/cx6/cp4/ch3/cZ1/cRz/cJy/cBw/b5v"
        "/bxt/bpr/bhq/bZo/bRm/bJl/bBj/a5h/Kxg/Kpf/Kde+6Vc+6Jb+59a+p1Z+ppY+phX+ZVV+ZNU"
        "+JBT+I5S+ItR94lP94ZO94NN9oFM9n5L9nxK9XlI9XdH9XRG9HJF9G9E9G1D8mtD8WlD8GdE72VE"
        "7WNF7GFF62BG6l5G6VxH51pH5lhI5VZI5FVJ4lNJ4VFK4E9K301L3ktL3ElL20hM2kZM2URN2EJN"
        "1kBO1T5O0zxO0TpOzzhNzTVNyzNMyTBMxi5LxCxLwilKwCdKviRJvCJJuiBItx1ItRtHsxhHsRZG"
        "rxRGrRFFqg9FqAxEpgpEpAhDogVDoANCngFC"
    ),
    "inferno": (
        "AAADAAAEAAAGAQAHAQEJAQELAgEOAgIQAwISBAMUBAMWBQQYBgQbBwUdCAYfCQYhCgcjCwcmDQgo"
        "DggqDwktEAkvEgoyEwo0FAs2Fgs5Fws7GQs+GgtAHAxDHQxFHwxHIAxKIgtMJAtOJgtQJwtSKQtU"
        "KwpWLQpYLgpaMApcMgldNAlfNQlgNwlhOQliOwlkPAllPglmQAlmQQlnQwpoRQppRgppSAtqSgtq"
        "SwxrTQxrTw1sUA1sUg5sUw5tVQ9tVw9tWBBtWhFtWxFuXRJuXxJuYBNuYhRuYxRuZRVuZhVuaBZu"
        "ahduaxdubRhubhhucBluchltcxptdRttdhtteBxtehxtex1sfR1sfh5sgB9rgR9rgyBrhSBqhiFq"
        "iCFqiSJpiyJpjSNpjiRokCRokSVnkyVnlSZmliZmmCdlmShkmyhknCljniljoCpioSthoythpCxg"
        "pixfpy1fqS5eqy5drC9crjBbrzFbsTFasjJZtDNYtTNXtzRWuDVWujZVuzdUvTdTvjhSvzlRwTpQ"
        "wjtPxDxOxT1Nxz5MyD5LyT9Ky0BJzEFIzUJHz0RG0EVE0UZD0kdC1EhB1UlA1ko/10s+2U092k47"
        "20863FA53VI43lM331Q24FY04lcz41gy5Fox5Vsw5lwu5l4t518s6GEr6WIq6mQo62Un7Gcm7Wgl"
        "7Woj7mwi720h8G8f8HAe8XId8nQc8nUa83cZ83kY9HoW9XwV9X4U9oAS9oER94MQ94UO+IcN+IgM"
        "+IoL+YwJ+Y4I+ZAI+pEH+pMG+pUG+pcG+5kG+5sG+50G+54H+6AH+6II+6QK+6YL+6gN+6oO+6wQ"
        "+64S+7AU+7EW+7MY+7Ua+7cc+7ke+rsh+r0j+r8l+sEo+cMq+cUs+ccv+Mkx+Ms0+M03988699E8"
        "9tM/9tVC9ddF9dlI9NtL9NxP895S8+BW8+JZ8uRd8uZg8ehk8elo8ets8e1w8e508fB58fJ98vOB"
        "8vSF8/aJ9PeN9fiR9vqV9/uZ+fyd+v2g/P6k"
    ),
    "turbo": (
        "MBI7MRVCMhhKNBtRNR5YNiFfNyNlOCZsOSlyOix5Oy9/PDKFPDWLPTeRPjqWPz2cQEChQEOmQUWr"
        "QUiwQku1Q066Q1C+Q1PCRFbHRFjLRVvORV7SRWDWRWPZRmbdRmjgRmvjRm3mRnDoRnPrRnXtRnjw"
        "RnryRn30Rn/2RoL4RYT5RYf7RYn8RIz9Q479QpH+QZP+QJb+P5j+Ppv+PJ39O6D8OaL8OKX7Nqj5"
        "NKr4M6z2Ma/1L7HzLbTxK7bvKrntKLvrJr3pJcDmI8LkIcThIMbfHsncHcvaHM3XG8/UGtHSGdPP"
        "GNXMGNfKF9nHF9rEF9zCF96/GOC9GOG6GeO4GuS2G+W0HeexHuivIOmsIuupJOymJ+2jKe6gLO+d"
        "L/CaMvGXNfOUOPSRO/SNP/WKQvaHRveDSviATfl8Ufl5Vfp2WftyXftvYfxsZfxoaf1lbf1icf1f"
        "dP5ceP5ZfP5WgP5ThP5Qh/5Ni/5Ljv5Ikv5Glf5EmP5Cm/1Anv0+ofw9pPw7pvs6qfs5rPo3rvk3"
        "sfg2s/g1tvc1ufU0u/Q0vvM0wPIzw/Ezxe8zyO4zyu0zzes0z+o00eg01Oc11uU12OM12uI23eA2"
        "39424dw349o35dg459c46NU46tM57NE57c8578058Ms68sg688Y69MQ69sI698A5+L45+bw5+bo4"
        "+rc3+7U3+7M2/LA1/K40/asz/aky/aYx/aMw/qEv/p4u/pst/pgs/ZUr/ZIp/Y8o/Ywn/Ikm/IYk"
        "+4Mj+4Ai+n0g+nof+Xce+HQc93Eb924a9msY9WgX9GUW82MV8mAU8V0T71oR7lgQ7VUP7FIO6lAN"
        "6U0N6EsM5kkL5UYK40QK4kIJ4EAI3j4I3TwH2zoH2TgG1zYG1jQF1DIF0jAF0C8Ezi0EyysDySkD"
        "xygDxSYCwyQCwCMCviECux8BuR4BthwBtBsBsRkBrhgBrBYBqRUBphQBoxIBoBEBnRABmg4Blw0B"
        "lAwBkQsBjgoBiwkBhwgBhAcBgQYCfQUCegQC"
    ),
}

COLORMAPS = (*_TABLES, "gray")


@functools.cache
def colormap(name: str) -> UInt8[np.ndarray, "256 3"]:
    """Return the RGB table of a colour map; index 255 is the nearest.

    Args:
        name: "Spectral_r" (red is near), "inferno" (yellow), "turbo" (red) or
            "gray" (white).

    Returns:
        uint8 (256, 3), read-only.

    Raises:
        ValueError: unknown name.
    """
    if name == "gray":
        table = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    elif name in _TABLES:
        table = np.frombuffer(base64.b64decode(_TABLES[name]), np.uint8).reshape(256, 3)
    else:
        raise ValueError(
            f"colour map {name!r} is unknown; known: {', '.join(COLORMAPS)}"
        )
    table.setflags(write=False)
    return table
